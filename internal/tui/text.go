package tui

// Text is the catalogue: every word that the menu itself shows. The rest
// (refusals, results, errors) comes from the commands that it runs. Texts that
// hold % take what their comment names.
type Text struct {
	Product     string
	StatusPlace string // device and label, or URL
	StatusFree  string // free space
	StatusNone  string
	StatusRO    string

	KeysMain, KeysList, KeysMany, KeysText, KeysWork, KeysWait string // foot of the screen
	KeysPlain, KeysPlainMany, KeysPlainText, KeysPlainHidden   string
	NotAnItem, NoneMarked, HelpTitle, HelpEnd, More            string
	Continue, Back, Again                                      string
	Wait                                                       string

	Main, Save, Parts, Name, SavePlan, SaveWork         PageText
	Restore, RestoreParts, Target, RestorePlan, Confirm PageText
	SaveGoOn                                            PageText
	Rescue, RescueGoOn, RescuePlan, RescueWork          PageText
	RestoreWork, Check, CheckWork, Place, Disks, Disk   PageText
	Clone, CloneTarget, ClonePlan, CloneWork            PageText
	Images, Image, ImageWork, ConvertWork, Remove       PageText
	Reboot, PowerOff, Result, Stop, Unattended, Run     PageText

	ItemCheckIt, ItemSave, ItemRestore, ItemClone, ItemSeveral, ItemCheck                              string
	ItemRescue, ItemNewSave, ItemNewRescue, ItemGoOnWith                                               string
	ItemFinish, FinishNote                                                                             string
	ItemPlace, ItemNetwork, ItemDisks, ItemShell, ItemReboot, ItemPowerOff                             string
	ItemImages, ItemRename, ItemRemove, ItemRaw, ItemQcow2, ItemAnew, Rename, Anew, NotRemoved         string
	ItemWholeDisk, ItemParts, ItemWholeImage, ItemStart, ItemGoOn, ItemStop, ItemYes, ItemNo, ItemStay string

	USB usbText

	TakeOut   string   // on the main page after a start to RAM
	MainNotes []string // one for every item of the main page

	// Heads of tables.
	HeadDisks, HeadParts, HeadImages, HeadVolumes, HeadPlaces, HeadHealth, HeadRescue, HeadPlan []string

	NoDisks, NoImages, NoPlaces, NoSerial, NoModel, EmptyDisk                      string
	BootMedium, ReadOnly, Removable, Current, InUse, Unfinished, BootPlace         string
	MethodBlocks, MethodRaw, MethodSwap, MethodAbsent                              string
	HealthGood, HealthFailing, HealthUnknown                                       string
	States                                                                         map[string]string // how a file system was left
	NameEmpty, NameBad, NameLong, NameTaken                                        string
	WrongText, NoConsent, NothingWritten                                           string
	PlanSource, PlanTarget, PlanNow, PlanImage, PlanPlace, PlanPlaceOf             string
	PlanSpool, RescueStop                                                          string
	PlanBytes, PlanStored, PlanFree, PlanTime, PlanRefused, PlanWarning, PlanErase string

	BarAll, BarVolume, Elapsed, Rate, Remaining, Working, Stopping            string
	Command, LogAt, Warnings, MoreWarnings, Output                            string
	Ended                                                                     string // exit status
	Killed                                                                    string // signal
	NoResult, NoStart, NoAnswer, Stopped, StoppedHow, Next                    string
	SavedDone, SavedFailed, RestoredDone, RestoredFailed                      string
	ClonedDone, ClonedFailed, ClonedText, CloneConfirm                        string
	CheckedDone, CheckedFailed, OtherDone, OtherFailed                        string
	DamagedDone                                                               string // one of the four titles' first words
	SavedText, RestoredText, CheckedText, OtherText                           string
	VolumeGood, VolumeBad, VolumeAbsent                                       string
	PlaceSet, PlaceSetRO, PlaceFailed                                         string
	ShellBye, ShellFailed                                                     string
	PowerFailed, JobRuns, CountdownOff, CountdownBoot, CountdownEnd, GoesDown string
	BadWords, AskSerialOf, Confirmation, Sectors, Connection, SerialNote      string

	Form    FormText
	Expert  ExpertText
	Net     NetText
	Network NetworkText
}

// PageText is what a page says whatever it shows.
type PageText struct {
	Title, Intro, Help string
}

// English is the catalogue in English.
func English() *Text {
	t := &Text{}
	t.englishFrame()
	t.englishPages()
	t.englishUSB()
	t.englishHelpers()
	t.englishPlans()
	t.englishResults()
	t.englishExpert()
	t.englishNet()
	t.englishNetwork()
	return t
}

func (t *Text) englishFrame() {
	t.Product = "Doppel"
	t.StatusPlace = "Images: %s"
	t.StatusFree = ", %s free"
	t.StatusNone = "Images: no place chosen yet"
	t.StatusRO = ", read only"
	t.KeysMain = "Up/Down or 1-9, a-z: choose   Enter: open   F1 or ?: help"
	t.KeysList = "Up/Down or 1-9, a-z: choose   Enter: on   Esc or q: back   F1 or ?: help"
	t.KeysMany = "Space or 1-9, a-z: mark   Enter: on   Esc or q: back   F1 or ?: help"
	t.KeysText = "Type a text   Ctrl-U: clear   Enter: on   Esc or Ctrl-C: back   F1: help"
	t.KeysWork = "Esc or Ctrl-C: stop the job   F1 or ?: help"
	t.KeysWait = "Esc or Ctrl-C: cancel"
	t.KeysPlain = "number, < back, ? help: "
	t.KeysPlainMany = "numbers, < back, ? help: "
	t.KeysPlainText = "%s [%s], < back, ? help: "
	t.KeysPlainHidden = "%s (it is not shown), < back, ? help: "
	t.NotAnItem = "That is not one of the numbers above."
	t.NoneMarked = "Nothing is marked yet: mark with Space or with the number."
	t.HelpTitle = "Help: %s"
	t.More = "-- PgUp/PgDn: more of this text --"
	t.HelpEnd = "Any key goes back."
	t.Continue = "Continue"
	t.Back = "Back"
	t.Again = "Look again"
	t.Wait = "One moment, please"
}

func (t *Text) englishPages() {
	t.Main = PageText{"What would you like to do?", "", "This is the start. Save copies a disk, or some of its partitions, into an image. Restore writes an image back onto a disk. Clone copies one disk to others. Check reads a whole image and says whether it can be restored.\n\nImages need a place to lie in: a second disk, a stick, or a server in the network. Expert mode shows every option of a job before its plan. Nothing is ever written to any disk before you have seen what will be written and have agreed.\n\nAll of this system is in memory: the medium that it was started from can be taken out, unless your images lie on it.\n\nWith Ctrl-L the screen is drawn anew."}
	t.Save = PageText{"Save: which disk?", "The disk is only read.", "Choose the disk to be saved. You can save all of it or only some of its partitions; the next page asks. If you are not sure which one it is, compare model, serial number and size with the label on the drive."}
	t.Parts = PageText{"Save: which partitions of %s?", "Mark what belongs into the image.", "Whole disk saves the partition table, the boot areas and every partition: what you need to bring the machine back on an empty disk. With chosen partitions the image holds only those."}
	t.Name = PageText{"Save: what shall the image be called?", "Letters, digits, dot, hyphen and underscore.", "The image becomes a folder of this name in the place for images. Choose something that you will still know next year, such as the name of the machine and the date."}
	t.SavePlan = PageText{"Save: this is the plan", "", "What will be saved and how. \"Used blocks\" means that only what the file system uses is kept; \"every byte\" means that the file system is not one that we can read, or that it is not in order; the reason stands beside it. What is needed is the most it can take; compression makes it less."}
	t.SaveWork = PageText{"Saving %s", "", "The disk is read and the image is written. You can stop at any time: the disk stays as it is, and the unfinished image is removed."}
	t.Rescue = PageText{"Rescue: which disk fails?", "The disk is only read, and read around what cannot be read.", "Choose the disk that cannot be read any more, or that says of itself that it fails. What can be read easily is read first, in large pieces; then what failed, in smaller and smaller ones. What stays unreadable is filled with a text that says so, and the image names the files that are damaged.\n\nIt can take long. If you stop it, or the disk drops out, it can go on later: choose the same disk again. If the disk never comes back, its rescue can be finished with what was read: it is listed here then. Until the image is whole, the place for images needs room for all data that is read, and for the image. Do not use a failing disk for anything else: each minute that it runs may be its last."}
	t.SaveGoOn = PageText{"Save: new, or go on?", "", "A save was begun and did not come to its end. Its partitions that were complete are taken over if the disk was not written to since. Choose the same disk and partitions as then."}
	t.RescueGoOn = PageText{"Rescue: new, or go on?", "", "A rescue was begun and did not come to its end. What was read then is still there and is not read again."}
	t.RescuePlan = PageText{"Rescue: this is the plan", "", t.SavePlan.Help + " A file system that is saved with every byte although we know its kind is one whose own records cannot be read."}
	t.RescueWork = PageText{"Rescuing to %s", "", "The disk is read around what cannot be read; then the image is made. You can stop at any time: what was read is kept, and the rescue can go on later. A bad place can make the disk hang for many seconds."}
	t.Restore = PageText{"Restore: which image?", "", "Choose the image that shall be written to a disk. Those that are not complete or not readable are listed with what is wrong with them."}
	t.RestoreParts = PageText{"Restore: which parts of %s?", "Mark the partitions to write.", "The whole image brings back the partition table, the boot areas and all partitions. If you choose partitions, only those are written, and everything else on the disk stays as it is."}
	t.Target = PageText{"Restore: onto which disk?", "What is on it now will be overwritten.", "Choose the disk that the image shall be written to. All disks are listed, those too that cannot be used; for those the next page says why. Compare model, serial number and size with the label on the drive."}
	t.RestorePlan = PageText{"Restore: this is the plan", "", "Look closely: this is the disk that will be overwritten, what is on it now, and what will be written. Nothing has been written yet. The next page asks you to type something that only stands on this disk, so that the wrong one is not taken by accident."}
	t.Confirm = PageText{"Restore: are you sure?", "", "This is the last page before the disk is written. Type what is asked for exactly as it is shown in the line \"Serial\", capital letters as capital letters. With Esc you go back and nothing is written."}
	t.RestoreWork = PageText{"Restoring %s", "", "The image is written to the disk. If you stop now, the disk is left half written and will not start; it can be restored again from the beginning."}
	t.Clone = PageText{"Clone: which disk shall be copied?", "The disk is only read.", "A clone copies a disk directly to one or more other disks, without an image between them; of file systems that we can read only what they use. Choose the disk that shall be copied. The next page asks where to."}
	t.CloneTarget = PageText{"Clone: onto which disk?", "What is on it now will be overwritten.", t.Target.Help}
	t.ClonePlan = PageText{"Clone: this is the plan", "", t.RestorePlan.Help}
	t.CloneWork = PageText{"Cloning %s", "", "The disk is copied. If you stop now, the source stays as it is; the target is left half written and will not start."}
	t.CloneConfirm = "Clone: are you sure?"
	t.Check = PageText{"Check: which image?", "", "Checking reads every byte of an image and compares it with the sums that were kept when it was saved. Nothing is written. A good image can be restored."}
	t.CheckWork = PageText{"Checking %s", "", "Every byte of the image is read and checked. You can stop at any time; the image stays as it is."}
	t.Images = PageText{"Images: which one?", "Rename, remove or convert an image.", "All images of the place, those too that are not complete: what a save left that was killed can be removed here."}
	t.Image = PageText{"Image %s", "", "What is in the image, and what can be done with it. A disk file holds the whole disk as it would be after a restore: raw, or as qcow2 for virtual machines; it is written beside the images. Writing an image anew makes one whose volumes can be read in any place; images of Clonezilla's own can often be read only from their start to their end."}
	t.ImageWork = PageText{"Image %s", "", "The command is short."}
	t.ConvertWork = PageText{"Converting %s", "", "The image is read and the new file or image is written. You can stop at any time: the image stays as it is, and nothing is left of the new one."}
	t.Remove = PageText{"Remove %s?", "What is removed is lost. To agree, type the name of the image.", "The image is removed from the place for images. Nothing else is changed."}
	t.Place = PageText{"Where are the images?", "A disk, a stick or a server to keep images on, or to read them from.", "Images lie in folders on a file system: ext4, XFS, btrfs, exFAT, FAT or NTFS. Choose the one that has them, or that has room for a new one. Plug in a stick now if you like, and choose \"Look again\". Nothing on it is changed until you save an image. Servers are reached over the network: the form of each kind asks for what it needs, and brings the network up if it is not."}
	t.Disks = PageText{"Disks and their health", "Choose one to see more of it.", "All disks of this machine. Health is what the disk says of itself: \"good\" is no guarantee, \"failing\" is a reason to save what is on it today."}
	t.Disk = PageText{"Disk %s", "", "All that is known of this disk. \"Used\" is what the file system uses of the partition, where we can read it."}
	t.Reboot = PageText{"Restart the machine?", "Take the disc or stick out if it shall not start again from it.", "The place for images is closed properly before the machine restarts."}
	t.PowerOff = PageText{"Power off the machine?", "", "The place for images is closed properly before the machine is switched off."}
	t.Result = PageText{"", "", "How the job ended. The command that ran is shown as you could type it in a shell. The log holds everything that the job said; it is lost when the machine is switched off, so copy it if you need it."}
	t.Stop = PageText{"Stop the job?", "The job is still running.", "A saved disk stays as it is when you stop. A disk that is being restored is left half written and will not start."}
	t.Unattended = PageText{"Job from the boot command line", "", "This job was given on the boot command line, and it began by itself."}
	t.Run = PageText{"doppel %s", "", "This command was given on the boot command line, and it began by itself."}
}

func (t *Text) englishHelpers() {
	t.ItemSave, t.ItemRestore, t.ItemCheck = "Save a disk or partitions", "Restore an image", "Check an image"
	t.ItemNewSave = "Begin a new save"
	t.ItemRescue, t.ItemNewRescue, t.ItemGoOnWith = "Rescue a failing disk", "Begin a new rescue", "Go on with %s"
	t.ItemFinish = "Finish %s without its disk"
	t.FinishNote = "The image is made of what was read before; what was not counts as lost. What was read is kept, in case the disk comes back."
	t.ItemCheckIt = "Check it"
	t.ItemClone, t.ItemSeveral = "Clone a disk", "Several disks at once"
	t.ItemPlace, t.ItemDisks, t.ItemShell = "Choose where images are", "Disks and their health", "Shell"
	t.ItemNetwork = "Network"
	t.ItemReboot, t.ItemPowerOff = "Restart", "Power off"
	t.ItemImages, t.ItemRename, t.ItemRemove = "Rename, remove or convert images", "Rename it", "Remove it"
	t.ItemRaw, t.ItemQcow2, t.ItemAnew = "Make a raw disk file of it", "Make a qcow2 disk file of it", "Write it anew"
	t.Rename, t.Anew, t.NotRemoved = "What shall %s be called?", "What shall the new image of %s be called?", "That is not the name of the image. Nothing was removed."
	t.ItemWholeDisk, t.ItemParts = "The whole disk", "Only some partitions"
	t.ItemWholeImage = "The whole image"
	t.ItemStart, t.ItemGoOn, t.ItemStop = "Start", "Go on", "Stop the job"
	t.ItemYes, t.ItemNo, t.ItemStay = "Yes", "No", "Stay in the menu"
	t.TakeOut = "The whole system is in memory: the medium can be taken out."
	t.MainNotes = []string{
		"Copies a disk, or some of its partitions, into an image.",
		"Saves what can still be read of a disk, and names the files that are damaged.",
		"Writes an image onto a disk. It asks before anything is overwritten.",
		"Copies a disk to one or more other disks, without an image.",
		"Reads a whole image and says whether it can be restored.",
		"What lies in the place for images: give it another name, remove it, make a disk file.",
		"A second disk, a stick or a server: where images are read from and written to.",
		"The network cards of this machine: their addresses; brings them up and down.",
		"Every disk of this machine: model, serial number, what is on it, its health.",
		t.USB.Note,
		"Switches it. With it on, each job shows all of its options and its command line.",
		"A command line with doppel and the usual programs. It comes back here on exit.",
		"Closes the place for images and starts the machine again.",
		"Closes the place for images and switches the machine off.",
	}
	t.HeadDisks = []string{"Disk", "Model", "Serial", "Size", "Contents"}
	t.HeadParts = []string{"Partition", "Size", "Used", "File system", "Label"}
	t.HeadImages = []string{"Image", "Saved", "Disk", "Size", "Stored"}
	t.HeadVolumes = []string{"Partition", "File system", "Label", "Size", "Saved"}
	t.HeadPlaces = []string{"Device", "File system", "Label", "Size", "Free", "Model"}
	t.HeadHealth = []string{"Disk", "Model", "Serial", "Size", "Health"}
	t.HeadRescue = []string{"Health", "Disk", "Model", "Serial", "Size"}
	t.HeadPlan = []string{"Partition", "File system", "How", "Data"}
	t.NoDisks = "No disk was found. Is it plugged in and switched on? Then choose \"Look again\"."
	t.NoImages = "There is no image in this place. Save one, or choose another place for images."
	t.NoPlaces = "No disk or stick with a file system was found. Plug one in and choose \"Look again\"."
	t.NoSerial, t.NoModel, t.EmptyDisk = "no serial number", "no name", "empty"
	t.BootPlace = "the boot medium"
	t.BootMedium = "this system was started from it"
	t.ReadOnly, t.Removable, t.Current = "read only", "removable", "in use for images now"
	t.Sectors, t.Connection = "%s (%s bytes; sectors of %d, physical %d)", "Connection"
	t.SerialNote = "serial number %s"
	t.InUse, t.Unfinished = "In use", "This image is not complete."
	t.MethodBlocks, t.MethodRaw = "used blocks", "every byte"
	t.MethodSwap, t.MethodAbsent = "made anew", "left out"
	t.HealthGood, t.HealthFailing, t.HealthUnknown = "good", "FAILING", "unknown"
	t.States = map[string]string{
		"dirty":      "was not unmounted, or has errors",
		"recovery":   "was not unmounted: its journal must be replayed",
		"hibernated": "hibernated: a sleeping system will come back to it",
	}
	t.NameEmpty = "The image needs a name."
	t.NameBad = "Only letters, digits, dot, hyphen and underscore; a letter or digit first."
	t.NameLong = "That name is too long: 64 characters at most."
	t.NameTaken = "There is an image of this name already."
}

func (t *Text) englishPlans() {
	t.Confirmation = "Confirm"
	t.AskSerialOf = "To write this disk, type %s."
	t.WrongText = "That is not what was asked for. Nothing was written."
	t.NoConsent = "The plan does not say how to confirm it, so it cannot be started."
	t.NothingWritten = "Nothing was written."
	t.PlanSource, t.PlanTarget, t.PlanNow = "Disk", "TARGET", "On it now"
	t.PlanImage, t.PlanPlace = "Image", "Place"
	t.PlanPlaceOf = "%s (%s)"
	t.PlanBytes, t.PlanStored, t.PlanFree, t.PlanTime = "Data", "Room, about", "Free there", "Time, about"
	t.PlanSpool, t.RescueStop = "and until done", "What was read so far is kept, and the rescue can go on later."
	t.PlanRefused = "This cannot be done:"
	t.PlanWarning = "Please note:"
	t.PlanErase = "What is on the target now will be lost."
	t.BarAll, t.BarVolume = "All", "This step"
	t.Elapsed, t.Rate, t.Remaining = "%s so far", "%s/s", "%s left"
	t.Working, t.Stopping = "Working ...", "Stopping ..."
}

func (t *Text) englishResults() {
	t.Command, t.LogAt = "Command:", "Log: %s"
	t.Warnings, t.MoreWarnings = "Warnings:", "and %d more, see the log"
	t.Output = "It also said:"
	t.Ended, t.Killed = "The command ended with status %d.", "The command was killed (%s)."
	t.NoResult = "The command ended without saying how the job went, so the job counts as failed."
	t.Next = "Next: %s"
	t.NoStart, t.NoAnswer = "The command could not be started: %s", "The answer of the command could not be understood."
	t.Stopped, t.StoppedHow = "You stopped the job.", "start it again from the menu when you like"
	t.SavedDone, t.SavedFailed = "Saved: Done", "Not saved: Failed"
	t.RestoredDone, t.RestoredFailed = "Restored: Done", "Not restored: Failed"
	t.ClonedDone, t.ClonedFailed, t.ClonedText = "Cloned: Done", "Not cloned: Failed", "The disk is copied."
	t.CheckedDone, t.CheckedFailed = "Checked: Done", "Check: Failed"
	t.VolumeGood, t.VolumeBad, t.VolumeAbsent = "can be restored", "CANNOT be restored", "is not in the image"
	t.OtherDone, t.OtherFailed = "Done", "Failed"
	t.DamagedDone = "%s with damage"
	t.SavedText, t.RestoredText = "The image is saved.", "The image is on the disk."
	t.CheckedText, t.OtherText = "The image is good.", "The command has done its work."
	t.PlaceSet, t.PlaceSetRO = "Images are kept on %s now.", "Images are read from %s now. It is read only: nothing can be saved there."
	t.PlaceFailed = "This place cannot be used"
	t.ShellBye = "A shell. Type exit to come back to the menu."
	t.ShellFailed = "The shell could not be started: %s"
	t.PowerFailed = "That did not work: %s"
	t.JobRuns = "A job is still running on another console. Wait until it has ended, or stop it there."
	t.CountdownOff = "The machine is switched off in %d seconds. Any key stops that."
	t.CountdownBoot = "The machine restarts in %d seconds. Any key stops that."
	t.CountdownEnd = "It goes on by itself in %d seconds. Any key stops that."
	t.GoesDown = "The machine goes down now"
	t.BadWords = "The job on the boot command line cannot be read: %s"
}

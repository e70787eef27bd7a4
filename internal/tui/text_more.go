package tui

import "doppel.live/internal/store/remote"

// FormText is what forms say.
type FormText struct {
	Nothing, Typed, Empty, EmptyHidden string
	Head                               []string
}

// ExpertText is what expert mode says.
type ExpertText struct {
	Status                                                     string // before the place for images in the head
	On, Off                                                    string
	Options                                                    PageText // title: command
	NoOptions, GoOn, GoOnNote                                  string
	Head                                                       []string
	Compress, Split, Except, Verify, Delta, KeepTable, Retries string
	Disk, BadSplit, BadNames, BadRetries                       string
	ShortCompress, ShortSplit, ShortExcept, ShortVerify        string
	ShortDelta, ShortKeepTable, ShortRetries, ShortDisk        string
}

func (t *Text) englishExpert() {
	t.Form = FormText{
		Nothing: "-",
		Typed:   "(typed)",
		Empty:   "Enter alone keeps what is there, a single hyphen makes it empty.",

		EmptyHidden: "Enter alone means that there is none.",
		Head:        []string{"What", "Value"},
	}
	e := &t.Expert
	e.Status = "Expert mode, %s"
	e.On, e.Off = "Expert mode: on", "Expert mode: off"
	e.Options = PageText{"Options of %s", "Enter on an option changes it.",
		"All options that this command has and that no other page asks for. Each has a default that is right for most; what you change is for this job only. The command line below them is what will run, and what you could type in a shell. The place for images is the one of the main page. Choose \"Go on\" when all is as you want it."}
	e.NoOptions = "This command has no options that could be changed here."
	e.GoOn, e.GoOnNote = "Go on", "Goes on with what is set below."
	e.Head = []string{"Option", "Value", "Default", "What it does"}
	e.ShortCompress, e.ShortSplit, e.ShortExcept = "how hard to compress", "cuts volumes into files", "leaves partitions out"
	e.ShortVerify, e.ShortDelta, e.ShortKeepTable = "reads back and compares", "writes only what differs", "leaves the partition table alone"
	e.ShortRetries, e.ShortDisk = "tries bad sectors again", "which disk of the image"
	e.Compress = "How hard to compress: fast is quicker, max smaller, gzip for the oldest versions of Clonezilla."
	e.Split = "Cuts volumes into files of at most this size, such as 4G or 2000M, or none; without it only on FAT, at 4G."
	e.Except = "Leaves these partitions out, such as sda3,sda5."
	e.Verify = "Reads back what was written and compares it: takes about as long again."
	e.Delta = "Reads the target first and writes only what differs: spares flash, and is quicker where little changed."
	e.KeepTable = "Leaves the partition table of the target alone and writes into the partitions that it has, by number."
	e.Retries = "How often bad sectors are tried again at the end, from 0 to 1000: each time can take long."
	e.Disk = "Of an image with several disks, the one to make a file of, such as sda."
	e.BadSplit = "A size of at least 2M, such as 4G or 2000M, or none."
	e.BadNames = "Names of partitions or disks with commas between them, such as sda3,sda5."
	e.BadRetries = "A number from 0 to 1000."
}

// NetText is what the pages of places in a network say. The maps are by
// scheme, or by reason.
type NetText struct {
	ItemNFS, ItemSMB, ItemSFTP, ItemHTTP, ItemURL       string
	Forms                                               map[string]PageText
	URL, Denied, NewKey, OtherKey                       PageText
	NewCertificate, OtherCertificate                    PageText // of a web server
	URLPrompt                                           string
	UseIt, UseItNote, TestIt, TestItNote                string
	Host, HostNote, NoHost, Folder, Share               string
	FolderNotes, UserNotes                              map[string]string
	User, Domain, DomainNote, Password, PasswordNote    string
	Version, VersionNote, AnyVersion                    string
	Key, KeyNote, Passphrase, PassphraseNote, NoKeyFile string
	Secure, SecureNote, SecureYes, SecureNo             string
	TestTitle, TestGood, TestFree                       string
	Reasons, Nexts                                      map[remote.Reason]string
	Place, Said, LoginAgain, KeyYes, KeyNo              string
	KeyType, Fingerprint, Now                           string
}

func (t *Text) englishNet() {
	n := &t.Net
	n.ItemNFS, n.ItemSMB, n.ItemSFTP = "NFS server ...", "Windows or Samba share (SMB) ...", "SSH server (SFTP) ..."
	n.ItemHTTP, n.ItemURL = "Web server (HTTP), for reading ...", "Type a URL ..."
	const how = " Enter on a line changes it. \"Use this place\" tries it first and says what is wrong. A password is kept in memory only: it stands in no log and in no file but one that goes with the power."
	n.Forms = map[string]PageText{
		remote.NFS:  {"Images on an NFS server", "Which folder, of which server?", "NFS is what Unix servers and many storage boxes offer. The server decides by the address of this machine who may come in; it knows no passwords." + how},
		remote.SMB:  {"Images on a Windows or Samba share", "Which share, of which server, and as who?", "A share is what a Windows machine, a storage box or Samba offers. Leave the user empty to come as a guest." + how},
		remote.SFTP: {"Images on an SSH server (SFTP)", "Which folder, of which server, and as who?", "Any machine that you can log in to by SSH can keep images. At the first time you are shown the server's key and asked whether it is the right one." + how},
		remote.HTTP: {"Images on a web server, for reading", "Which folder, of which server?", "Images can be restored from a web server, not saved to one. The folder must hold the images as they were saved, each with its list of files, or the server must list its folders." + how},
	}
	n.URL = PageText{"Images at a URL", "Such as nfs://server/folder, smb://server/share, sftp://user@server/folder or https://server/folder. Leave the password out: the next page asks for it and does not show it.", "What is typed here fills the form on the next page, where all of it can be changed."}
	n.URLPrompt = "URL"
	n.UseIt, n.UseItNote = "Use this place", "Tries it, and keeps images there from then on."
	n.TestIt, n.TestItNote = "Only test it", "Says whether it would work, and changes nothing."
	n.Host, n.HostNote, n.NoHost = "Server", "Name or address, such as nas.local or 192.168.1.5; with :PORT behind it if it is not the usual one.", "Which server? That is still missing."
	n.Folder, n.Share = "Folder", "Share"
	n.FolderNotes = map[string]string{
		remote.NFS:  "The folder that the server exports, such as /export/images; folders below it may follow.",
		remote.SMB:  "The name of the share, such as images; folders below it may follow: images/lab.",
		remote.SFTP: "The folder for images, such as /srv/images.",
		remote.HTTP: "The folder behind the server's name, such as /images.",
	}
	n.User, n.Domain, n.DomainNote = "User", "Domain", "Only where the server belongs to one; most do not."
	n.UserNotes = map[string]string{
		remote.SMB:  "The user of the server; empty is a guest.",
		remote.SFTP: "The user to log in as.",
		remote.HTTP: "Only where the server asks for one.",
	}
	n.Password, n.PasswordNote = "Password", "It is not shown, and goes into no log."
	n.Version, n.VersionNote, n.AnyVersion = "Version", "Of NFS: either is right for most; choose one where the server has only that.", "either"
	n.Key, n.KeyNote = "Key file", "A file with a private key, instead of a password, such as /root/.ssh/id_ed25519."
	n.Passphrase, n.PassphraseNote = "Passphrase", "Of the key file, if it has one. It is not shown."
	n.NoKeyFile = "The key file cannot be read: %s"
	n.Secure, n.SecureYes, n.SecureNo = "Encrypted", "yes (https)", "no (http)"
	n.SecureNote = "Without it everybody on the way can read what is sent, the password too."
	n.TestTitle, n.TestGood, n.TestFree = "This place can be used", "The test of %s went well.", "%s are free there."
	n.Place, n.Said, n.LoginAgain = "Place", "In detail", "Type user and password again"
	n.Now = "In use now: %s"
	t.englishReasons()
}

func (t *Text) englishReasons() {
	n := &t.Net
	n.Reasons = map[remote.Reason]string{
		remote.BadName:     "This cannot be understood as a place for images.",
		remote.NoRoute:     "The server does not answer.",
		remote.UnknownName: "There is no server of this name.",
		remote.Refused:     "The server is there, but it does not offer this service.",
		remote.Denied:      "The server does not let this user in.",
		remote.NoFolder:    "The server has no such folder or share.",
		remote.ReadOnly:    "It can only be read: images can be restored from there, but not saved.",
		remote.Full:        "There is no room left there.",
		remote.NewKey:      "Nobody has agreed to the key of this server yet.",
		remote.OtherKey:    "The server shows another key than the one that was agreed to.",
		remote.Broken:      "That did not work.",
	}
	n.Nexts = map[remote.Reason]string{
		remote.BadName:     "go back and correct it",
		remote.NoRoute:     "check the cable, the page Network of the main menu, and whether the server is switched on",
		remote.UnknownName: "check how it is written, or give its address in numbers such as 192.168.1.5",
		remote.Refused:     "check that it is the right server and the right kind of server, and its port",
		remote.Denied:      "check user and password, or let the server accept the address of this machine",
		remote.NoFolder:    "check how it is written, capital letters too",
		remote.ReadOnly:    "to save, choose another place or let the server allow writing",
		remote.Full:        "make room there, or choose another place",
		remote.OtherKey:    "ask who looks after the server whether it got a new key; until then choose another place",
	}
	n.Denied = PageText{"The server does not let you in", "", "User or password are wrong, or this user may not come in from here. Look at capital letters and at the keyboard: y and z may have changed places. An NFS server goes by the address of the machine."}
	n.NewKey = PageText{"Is this the right server?", "This server has not been seen before. Compare the fingerprint with the server's own: there, ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub shows it. If it is another one, somebody may be in between.", "Each SSH server has a key that tells it from all others. When you agree, this key alone is accepted for this place from then on, until the machine is switched off."}
	n.OtherKey = PageText{"WARNING: not the server it was", "The server shows another key than the one that was agreed to. Somebody may be between you and the server and read all that is sent, or the server was set up anew. It is not used, and no password was sent.", "A server keeps its key, even over updates. When somebody who looks after it has told you that the key was changed on purpose, restart this system: it forgets the old key then."}
	n.NewCertificate = PageText{n.NewKey.Title, "Nobody that this system knows has signed the certificate of this server, or the clock of this machine is wrong. Compare the fingerprint with the server's own, which who looks after it can tell. If it is another one, somebody may be in between.", "A web server that encrypts shows a certificate. When you agree, this one alone is accepted for this place from then on, until the machine is switched off."}
	n.OtherCertificate = PageText{n.OtherKey.Title, "The server shows another certificate than the one that was agreed to. Somebody may be between you and the server and read all that is sent, or the certificate was made anew. It is not used, and no password was sent.", "When somebody who looks after the server has told you that it has a new certificate, restart this system: it forgets the old one then."}
	n.KeyNo, n.KeyYes = "No, go back", "Yes, this is the right one"
	n.KeyType, n.Fingerprint = "Kind of key", "Fingerprint"
}

// NetworkText is what the pages of the network cards say.
type NetworkText struct {
	Cards, Card, Static, Down                           PageText // Card: device
	Head                                                []string
	NoCards, Wireless, Cable, NoCable, Off, MAC         string
	ItemDHCP, DHCPNote, ItemStatic, StaticNote          string
	ItemDown, ItemGive, ItemWithout                     string
	CardNote, AddressNote, GatewayNote, DNSNote         string
	BadAddress, BadNumbers, Waiting, Done, Failed, Next string
}

func (t *Text) englishNetwork() {
	n := &t.Network
	n.Cards = PageText{"Network", "Choose a card to bring it up or down.", "All network cards of this machine. The network is only needed for images on a server. A card that is off does not say whether a cable is in it. Wireless cards cannot be used yet."}
	n.Card = PageText{"Network card %s", "", "Most networks give an address by themselves (DHCP). Where yours does not, ask who looks after it for a free address, the gateway and the name server."}
	n.Static = PageText{"A fixed address", "Enter on a line changes it.", n.Card.Help + " The number behind the stroke says how large the network is: /24 stands for 255.255.255.0, /16 for 255.255.0.0."}
	n.Down = PageText{"The network is not up", "A server can only be reached over the network. Shall it be brought up now?", n.Card.Help}
	n.Head = []string{"Card", "Cable", "Address", "Gateway", "Name servers"}
	n.NoCards = "No network card was found. Wireless cards cannot be used yet."
	n.Wireless = "There is a wireless card, which this version cannot use yet: plug in a cable."
	n.Cable, n.NoCable, n.Off, n.MAC = "plugged in", "no cable", "off", "Hardware"
	n.ItemDHCP, n.DHCPNote = "Bring it up by itself (DHCP)", "The network gives the address: right for most."
	n.ItemStatic, n.StaticNote = "Give it a fixed address ...", "You type address, gateway and name server."
	n.ItemDown, n.ItemGive, n.ItemWithout = "Take it down", "Bring it up with these", "Go on without"
	n.CardNote = "The network card that gets the address."
	n.AddressNote = "The address and the size of the network, such as 192.168.1.10/24."
	n.GatewayNote = "The way into other networks, such as 192.168.1.1; empty where there is none."
	n.DNSNote = "One or two addresses, such as 192.168.1.1 9.9.9.9; empty where servers are named by their address."
	n.BadAddress = "An address and the size of its network, such as 192.168.1.10/24."
	n.BadNumbers = "Addresses in numbers, such as 192.168.1.1."
	n.Waiting = "Waiting for the network, up to 30 seconds"
	n.Done, n.Failed = "Network: Done", "Network: Failed"
	n.Next = "check the cable and try another card, or give a fixed address"
}

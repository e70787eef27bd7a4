package tui

import "doppel.live/internal/store/remote"

// The structures below are what the commands print under --json, as far as the
// menu shows it.

type diskList struct {
	Disks []disk `json:"disks"`
}

type disk struct {
	Path       string      `json:"path"`
	Name       string      `json:"name"`
	Model      string      `json:"model"`
	Serial     string      `json:"serial"`
	WWN        string      `json:"wwn"`
	Transport  string      `json:"transport"`
	Size       int64       `json:"size"`                 // bytes
	Sector     int64       `json:"sector_size"`          // bytes
	Physical   int64       `json:"physical_sector_size"` // bytes
	Removable  bool        `json:"removable"`
	ReadOnly   bool        `json:"read_only"`
	BootMedium bool        `json:"boot_medium"`
	Scheme     string      `json:"scheme"`
	Contents   string      `json:"contents"`
	Warnings   []string    `json:"warnings"` // what is wrong with the table
	Health     health      `json:"health"`
	InUse      []string    `json:"in_use"`
	Partitions []partition `json:"partitions"`
}

type health struct {
	State string `json:"state"` // good, failing, unknown
	Text  string `json:"text"`
}

type partition struct {
	Name       string   `json:"name"`
	Path       string   `json:"path"`
	Number     int      `json:"number"`
	Size       int64    `json:"size"` // bytes
	Type       string   `json:"type"`
	TableLabel string   `json:"partition_label"`
	FileSystem string   `json:"file_system"`
	Label      string   `json:"label"`
	Used       int64    `json:"used"` // bytes, -1 unknown
	State      string   `json:"state"`
	Method     string   `json:"method"`
	Reason     string   `json:"reason"`
	InUse      []string `json:"in_use"`
}

type imageList struct {
	Place  string    `json:"place"`
	Images []summary `json:"images"`
}

type summary struct {
	Name      string        `json:"name"`
	Created   string        `json:"created"` // RFC 3339
	Tool      string        `json:"tool"`
	WholeDisk bool          `json:"whole_disk"`
	Disks     []savedDisk   `json:"disks"`
	Volumes   []savedVolume `json:"volumes"`
	Stored    int64         `json:"stored"` // bytes
	Complete  bool          `json:"complete"`
	Begun     bool          `json:"begun"` // a save can go on with it
	Problem   string        `json:"problem"`
}

type savedDisk struct {
	Name   string `json:"name"`
	Model  string `json:"model"`
	Serial string `json:"serial"`
	Size   int64  `json:"size"` // bytes
}

type savedVolume struct {
	Name       string `json:"name"`
	FileSystem string `json:"file_system"`
	Label      string `json:"label"`
	Size       int64  `json:"size"` // bytes
	Used       int64  `json:"used"` // bytes
	Method     string `json:"method"`
	Reason     string `json:"reason"`
}

// checkReport is what doppel verify found.
type checkReport struct {
	Volumes []struct {
		Name       string   `json:"name"`
		Restorable bool     `json:"restorable"`
		Method     string   `json:"method"`
		Problems   []string `json:"problems"`
		Notes      []string `json:"notes"`
	} `json:"volumes"`
	Problems []string `json:"problems"`
}

type placeList struct {
	Places []place `json:"places"`
}

type placeStatus struct {
	Current *place `json:"current"`
}

type place struct {
	Spec       string `json:"spec"`
	Path       string `json:"path"`
	FileSystem string `json:"file_system"`
	Label      string `json:"label"`
	Size       int64  `json:"size"` // bytes
	Free       int64  `json:"free"` // bytes, -1 unknown
	Model      string `json:"model"`
	Removable  bool   `json:"removable"`
	BootMedium bool   `json:"boot_medium"`
	ReadOnly   bool   `json:"read_only"`
	Current    bool   `json:"current"`
	Problem    string `json:"problem"`
}

type placeAnswer struct {
	OK       bool   `json:"ok"`
	Spec     string `json:"spec"`
	Path     string `json:"path"`
	Free     int64  `json:"free"` // bytes
	ReadOnly bool   `json:"read_only"`
	Error    string `json:"error"`
	Next     string `json:"next"`

	Reason      remote.Reason `json:"reason"`
	Fingerprint string        `json:"fingerprint"` // of a server's key
	KeyType     string        `json:"key_type"`
}

// jobPlan is the plan of a save or of a restore.
type jobPlan struct {
	Image    string       `json:"image"`
	Place    string       `json:"place"`
	Sources  []planDevice `json:"sources"` // save
	Target   planDevice   `json:"target"`  // restore
	Targets  []*jobPlan   `json:"targets"` // restore to several disks at once
	Consent  string       `json:"consent"` // restore: the code that stands for all of this
	Confirm  confirm      `json:"confirm"` // restore
	Steps    []planStep   `json:"steps"`
	Bytes    int64        `json:"bytes"`
	Stored   int64        `json:"stored"`  // estimate of the image's bytes; save
	Spool    int64        `json:"spool"`   // bytes that a rescue needs until it is done; save
	Free     int64        `json:"free"`    // bytes, -1 unknown; save
	Seconds  float64      `json:"seconds"` // 0 unknown
	Refusals []string     `json:"refusals"`
	Warnings []string     `json:"warnings"`
}

// each gives the plans of a restore by target.
func (p *jobPlan) each() []*jobPlan {
	if len(p.Targets) > 0 {
		return p.Targets
	}
	return []*jobPlan{p}
}

type planDevice struct {
	Path     string `json:"path"`
	Model    string `json:"model"`
	Serial   string `json:"serial"`
	Size     int64  `json:"size"` // bytes
	Contents string `json:"contents"`
}

type confirm struct {
	Ask    string `json:"ask"`    // what is asked for: "the last 4 characters of the serial number"
	Expect string `json:"expect"` // what has to be typed
}

type planStep struct {
	Volume     string `json:"volume"`
	FileSystem string `json:"file_system"`
	Method     string `json:"method"`
	Size       int64  `json:"size"`  // bytes
	Bytes      int64  `json:"bytes"` // to be read or written
	Reason     string `json:"reason"`
}

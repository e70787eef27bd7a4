package remote

// Reason is why a place cannot be used, in one word for programs.
type Reason string

// The reasons.
const (
	BadName     Reason = "bad-name"     // the URL cannot be read
	NoRoute     Reason = "no-route"     // no network, or the server does not answer
	UnknownName Reason = "unknown-name" // no such server name
	Refused     Reason = "refused"      // the server is there, the service is not
	Denied      Reason = "denied"       // wrong or no credentials
	NoFolder    Reason = "no-folder"    // no such export, share or folder
	ReadOnly    Reason = "read-only"
	Full        Reason = "full"
	NewKey      Reason = "unknown-host-key" // nobody has agreed to the server's key yet
	OtherKey    Reason = "other-host-key"   // the key is not the one agreed to
	Broken      Reason = "broken"           // anything else
)

// Error says why a place cannot be used and what to do about it. Its texts
// hold no secret.
type Error struct {
	Reason      Reason
	What        string
	Next        string // a sentence
	Fingerprint string // NewKey, OtherKey: what the server showed, "SHA256:…"
	KeyType     string // of that, "ssh-ed25519"; "" is a certificate
	Err         error  // what lies behind it, or nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.What + ": " + e.Err.Error()
	}
	return e.What
}

func (e *Error) Unwrap() error { return e.Err }

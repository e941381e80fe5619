package report

import (
	"cmp"
	"slices"
	"strings"
)

// A CertificateChange is a certificate that was renewed, or seen for the first
// time, or not any more.
type CertificateChange struct {
	Subject string   `json:"subject"`
	Names   []string `json:"names"`
	IsCA    bool     `json:"is_ca"`
	// Old is absent if the certificate is new, New if it was not seen.
	Old *CertificateState `json:"old,omitempty"`
	New *CertificateState `json:"new,omitempty"`
	// SameKey says that the renewed certificate has the key of the old one.
	SameKey bool `json:"same_key"`
	Change
}

// A CertificateState tells a certificate from others of the same subject.
type CertificateState struct {
	SHA256     string `json:"sha256"`
	SPKISHA256 string `json:"spki_sha256"`
	Issuer     string `json:"issuer"`
	NotBefore  string `json:"not_before"`
	NotAfter   string `json:"not_after"`
	Key        string `json:"key"`
}

// A holder is whom certificates are for: the same before and after a renewal.
type holder struct {
	subject, names string
	ca             bool
}

// certificatesOf has all certificates that were seen, by holder, ordered by
// their beginning.
func certificatesOf(doc *Document) map[holder][]*Certificate {
	out, seen := map[holder][]*Certificate{}, map[string]bool{}
	take := func(chain []Certificate) {
		for i := range chain {
			c := &chain[i]
			if seen[c.SHA256] || c.SHA256 == "" || c.Problem != "" {
				continue
			}
			seen[c.SHA256] = true
			h := holder{c.Subject, strings.Join(namesOf(c), "\x00"), c.IsCA}
			out[h] = append(out[h], c)
		}
	}
	for i := range doc.Connections {
		if c := doc.Connections[i].ClientCertificate; c != nil {
			take(c.Chain)
		}
		if c := doc.Connections[i].ServerCertificate; c != nil {
			take(c.Chain)
		}
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b *Certificate) int {
			return cmp.Or(cmp.Compare(a.NotBefore, b.NotBefore), cmp.Compare(a.SHA256, b.SHA256))
		})
	}
	return out
}

// namesOf lists what a certificate names besides its subject.
func namesOf(c *Certificate) []string {
	names := slices.Concat(c.DNSNames, c.IPAddresses, c.URIs, c.EmailAddresses)
	slices.Sort(names)
	return slices.Compact(names)
}

func certificateChanges(before, after *Document) []CertificateChange {
	old, now := certificatesOf(before), certificatesOf(after)
	holders := map[holder]bool{}
	for h := range old {
		holders[h] = true
	}
	for h := range now {
		holders[h] = true
	}
	out := []CertificateChange{}
	for h := range holders {
		out = append(out, holderChanges(missingFrom(now[h], old[h]), missingFrom(old[h], now[h]))...)
	}
	slices.SortFunc(out, func(a, b CertificateChange) int {
		return cmp.Or(compareChanges(a.Change, b.Change), cmp.Compare(a.Subject, b.Subject), slices.Compare(a.Names, b.Names),
			cmp.Compare(a.Old.id(), b.Old.id()), cmp.Compare(a.New.id(), b.New.id()))
	})
	return out
}

// missingFrom returns the certificates of all that are not in list.
func missingFrom(list, all []*Certificate) []*Certificate {
	var out []*Certificate
	for _, c := range all {
		if !slices.ContainsFunc(list, func(x *Certificate) bool { return x.SHA256 == c.SHA256 }) {
			out = append(out, c)
		}
	}
	return out
}

// holderChanges pairs the certificates of one holder that went with those that
// came, in the order of their beginnings.
func holderChanges(gone, came []*Certificate) []CertificateChange {
	var out []CertificateChange
	for i := range max(len(gone), len(came)) {
		var was, is *Certificate
		if i < len(gone) {
			was = gone[i]
		}
		if i < len(came) {
			is = came[i]
		}
		of := cmp.Or(is, was)
		c := CertificateChange{Subject: of.Subject, Names: namesOf(of), IsCA: of.IsCA, Old: was.state(), New: is.state(), Change: Change{isRenewed, noEffect}}
		if c.Names == nil {
			c.Names = []string{}
		}
		switch {
		case was == nil:
			c.Change.Change = isNew
		case is == nil:
			c.Change.Change = isGone
		default:
			c.SameKey = was.SPKISHA256 == is.SPKISHA256 && is.SPKISHA256 != ""
		}
		out = append(out, c)
	}
	return out
}

func (c *Certificate) state() *CertificateState {
	if c == nil {
		return nil
	}
	return &CertificateState{c.SHA256, c.SPKISHA256, c.Issuer, c.NotBefore, c.NotAfter, c.Key}
}

func (s *CertificateState) id() string {
	if s == nil {
		return ""
	}
	return s.SHA256
}

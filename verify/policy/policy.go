// Package policy reads policies, which are YAML, and writes them. It reads no
// file itself: who calls it has the bytes, and a name for them.
package policy

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"distproof/decode/fact"
	"distproof/verify"
)

// Default is the name of the built-in policy that is taken unless another is
// named, and Name that of the file that is looked for.
const (
	Default = "mutual"
	Name    = "distproof.yaml"
)

// Version is that of the format.
const Version = 1

// ExpiresWithin is how long before its end a certificate's validity is a finding
// unless a policy says otherwise.
const ExpiresWithin = 30 * 24 * time.Hour

// Limits of policies. They are far above what anybody reviews.
const (
	MaxSize       = 1 << 20
	maxNodes      = 1000
	maxEdges      = 10_000
	maxExceptions = 200
	maxErrors     = 20
)

// A File is a policy, and the files that it names.
type File struct {
	// Options has all but the CAs and cookies.
	Options verify.Options
	// CAs are files or folders of certificates, Cookies lists of cookies.
	CAs, Cookies []Ref
	// Unseen says what becomes of certificates that cannot be seen, of which
	// something is asked; "" for the default.
	Unseen string
}

// A Ref is a path in a policy, relative to it unless Place is no line of a file.
type Ref struct {
	Path  string
	Place verify.Place
}

// An Error is what is wrong with a policy, and where.
type Error struct {
	File         string
	Line, Column int
	Message      string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

// Errors are all that is wrong with a policy, in the order of lines.
type Errors []*Error

func (e Errors) Error() string {
	if more := len(e) - 1; more > 0 {
		return fmt.Sprintf("%v (and %d more)", e[0], more)
	}
	return e[0].Error()
}

//go:embed builtin/*.yaml
var builtins embed.FS

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema of policies.
func Schema() []byte { return slices.Clone(schema) }

// SchemaName is what the schema's file is called.
const SchemaName = "distproof.policy.v1.schema.json"

// Builtins returns the names of the built-in policies.
func Builtins() []string {
	names, err := fs.Glob(builtins, "builtin/*.yaml")
	if err != nil {
		panic(err) // the pattern is ours
	}
	for i, name := range names {
		names[i] = strings.TrimSuffix(path.Base(name), ".yaml")
	}
	return names
}

// Builtin returns a built-in policy. What it says counts as a default: nobody
// wrote it.
func Builtin(name string) (*File, bool) {
	data, ok := BuiltinText(name)
	if !ok {
		return nil, false
	}
	f, err := Parse(data, "builtin:"+name)
	if err != nil {
		panic(err) // tests read all
	}
	f.Options.Policy.Places = make(map[string]verify.Place)
	return f, true
}

// BuiltinText returns a built-in policy as it is written.
func BuiltinText(name string) ([]byte, bool) {
	if !slices.Contains(Builtins(), name) {
		return nil, false
	}
	data, err := builtins.ReadFile("builtin/" + name + ".yaml")
	return data, err == nil
}

// newFile is a policy that says nothing.
func newFile(name string) *File {
	return &File{Options: verify.Options{
		ExpiresWithin: ExpiresWithin,
		Policy: verify.Policy{
			Name: name, Require: verify.RequireMutual, Basis: fact.Inferred, FailOn: verify.High,
			Places: make(map[string]verify.Place),
		},
	}}
}

// Set notes that a flag or a variable sets what the policy may have set, too.
func (f *File) Set(setting, by string) {
	f.Options.Policy.Places[setting] = verify.Place{Path: by}
}

// demands are the settings that ask something of certificates, each of which
// must then be seen, unless the policy says otherwise.
var demands = []string{"certificates.cas", "certificates.min_rsa_bits", "certificates.min_ec_bits", "certificates.issuers", "certificates.ca_fingerprints"}

// settle derives what depends on several settings, from the file alone: flags and
// variables ask nothing more of certificates, and nothing less.
func (f *File) settle() {
	p := &f.Options.Policy
	asked := slices.ContainsFunc(demands, func(setting string) bool {
		at, ok := p.Places[setting]
		return ok && at.Line > 0
	})
	p.Certificates.Seen = f.Unseen == unseenInconclusive || f.Unseen == "" && asked
}

// What becomes of certificates that cannot be seen.
const (
	unseenInconclusive = "inconclusive"
	unseenAccept       = "accept"
)

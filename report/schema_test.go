package report_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"reflect"
	"strings"
	"testing"

	"distproof/internal/formatcheck"
	"distproof/report"
)

const schemaFile = "schema/distproof.report.v1.schema.json"

// values are the words that fields may have, by type and name in JSON. What is
// not here is free text.
func values() map[string][]any {
	verdicts := []any{"mutual", "one-way", "cleartext", "refused", "inconclusive"}
	basis := []any{"observed", "verified", "decrypted", "inferred", "none"}
	sides := []any{"client", "server"}
	verification := []any{"ok", "failed", "not-checked"}
	return map[string][]any{
		"Document.schema":              {report.Schema},
		"Document.conclusion":          {"pass", "fail", "inconclusive"},
		"Connection.protocol":          {"epmd", "dist", "dist-tls", "tls", "other", "none"},
		"Connection.verdict":           append(verdicts, nil),
		"Connection.state":             {"up", "tls-failed", "dist-refused", "incomplete", "midstream"},
		"Edge.verdict":                 verdicts,
		"Alert.from":                   sides,
		"Alert.level":                  {"fatal", "warning"},
		"Alert.basis":                  basis,
		"ClientCertificate.status":     {"presented", "empty", "not-requested", "resumed", "unknown"},
		"ClientCertificate.basis":      basis,
		"ClientCertificate.possession": {"verified", "observed", "inferred", "decrypted", "unknown"},
		"ServerCertificate.basis":      basis,
		"ServerCertificate.possession": {"verified", "observed", "inferred", "decrypted", "unknown"},
		"Verification.status":          verification,
		"Call.by":                      sides,
		"Call.means":                   {"spawn", "erpc", "rpc", "request"},
		"Decrypted.cookie":             {"accepted", "refused", "unknown"},
		"Endpoint.host_basis":          {"sni", "certificate", "address"},
		"Node.implementation":          {"erts", "other"},
		"Node.listener":                {"cleartext", "tls", "both"},
		"Payload.by":                   sides,
		"Finding.severity":             {"critical", "high", "medium", "low", "info"},
		"Finding.status":               {"open", "waived"},
		"Finding.effect":               {"violates", "undecided", "waived", "noted"},
	}
}

// The published schema is that of the Go types, with their comments. Run with
// -update after a field was added.
func TestSchemaIsThatOfTheTypes(t *testing.T) {
	s := &schemaWriter{defs: map[string]any{}, comments: comments(t), values: values()}
	s.golden(t, schemaFile, report.Schema, reflect.TypeFor[report.Document]())
	for name := range s.values {
		t.Errorf("there is no field %s", name)
	}
}

type schemaWriter struct {
	defs     map[string]any
	comments map[string]string
	values   map[string][]any
}

// golden holds a file against the schema of a type, with the name of its version,
// as distproof.report/v1.
func (s *schemaWriter) golden(t *testing.T, file, version string, of reflect.Type) {
	t.Helper()
	root := s.object(of)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = "urn:" + strings.NewReplacer(".", ":", "/", ":").Replace(version)
	root["title"] = version
	root["$defs"] = s.defs
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		t.Fatal(err)
	}
	golden(t, file, out.Bytes())
}

// object is the schema of a struct.
func (s *schemaWriter) object(t reflect.Type) map[string]any {
	properties := map[string]any{}
	required := []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			inner := s.object(f.Type)
			maps.Copy(properties, inner["properties"].(map[string]any))
			required = append(required, inner["required"].([]string)...)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		p := s.of(f.Type)
		if options != "omitempty" {
			required = append(required, name)
			if f.Type.Kind() == reflect.Pointer {
				p["type"] = []any{p["type"], "null"}
			}
		}
		key := t.Name() + "." + name
		if words, limited := s.values[key]; limited {
			p["enum"] = words
			delete(s.values, key)
		}
		if text := s.comments[t.Name()+"."+f.Name]; text != "" {
			p["description"] = text
		}
		properties[name] = p
	}
	out := map[string]any{"type": "object", "properties": properties, "required": required}
	if text := s.comments[t.Name()]; text != "" {
		out["description"] = text
	}
	return out
}

func (s *schemaWriter) of(t reflect.Type) map[string]any {
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		if _, done := s.defs[t.Name()]; !done {
			s.defs[t.Name()] = nil // it may refer to itself
			s.defs[t.Name()] = s.object(t)
		}
		return map[string]any{"$ref": "#/$defs/" + t.Name()}
	case reflect.Uint16:
		return map[string]any{"type": "integer", "minimum": 0, "maximum": 65535}
	case reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0}
	}
	return map[string]any{"type": "integer"}
}

// comments are those of the types and fields of document.go, or of other files.
func comments(t *testing.T, files ...string) map[string]string {
	t.Helper()
	if len(files) == 0 {
		files = []string{"document.go"}
	}
	out := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(out, commentsIn(file))
	}
	return out
}

func commentsIn(file *ast.File) map[string]string {
	out := map[string]string{}
	text := func(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }
	for _, d := range file.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range decl.Specs {
			spec, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			out[spec.Name.Name] = text(decl.Doc)
			fields, ok := spec.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, f := range fields.Fields.List {
				for _, name := range f.Names {
					out[spec.Name.Name+"."+name.Name] = text(f.Doc)
				}
			}
		}
	}
	return out
}

// Hand-made documents hold to the published schema; cmd/distproof tests those
// of the recorded captures.
func TestFixturesHoldToTheSchema(t *testing.T) {
	for name, doc := range fixtures() {
		if name == "damaged" {
			continue // has a severity that is none
		}
		if err := formatcheck.JSON(render(t, doc, "json", report.Options{}), schemaFile); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, broken := range []string{`{}`, `[]`, `{"schema":"distproof.report/v2"}`} {
		if formatcheck.JSON([]byte(broken), schemaFile) == nil {
			t.Errorf("the schema accepts %s", broken)
		}
	}
}

package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"distproof/internal/plural"
)

// Read reads a document that was written as JSON. unknown names the fields
// that this version does not know, and does not keep: a later version of the
// same schema may have more.
func Read(r io.Reader) (doc *Document, unknown []string, err error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, nil, err
	}
	fields, err := topFields(data)
	if err != nil {
		return nil, nil, err
	}
	if err := checkSchema(fields); err != nil {
		return nil, nil, err
	}
	doc = new(Document)
	if err := json.Unmarshal(data, doc); err != nil {
		return nil, nil, notADocument(err)
	}
	if err := doc.check(); err != nil {
		return nil, nil, err
	}
	found := map[string]bool{}
	if err := unknownFields(data, reflect.TypeFor[Document](), "", found); err != nil {
		return nil, nil, notADocument(err)
	}
	for name := range found {
		unknown = append(unknown, name)
	}
	slices.Sort(unknown)
	fillNil(reflect.ValueOf(doc).Elem())
	return doc, unknown, nil
}

// topFields reads the whole document as an object of fields still to be read.
func topFields(data []byte) (map[string]json.RawMessage, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("nothing in it")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, notADocument(err)
	}
	return fields, nil
}

// notADocument is the error of what is not JSON, or has not the types of a document.
func notADocument(err error) error {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("not a report of distproof: it is not JSON at byte %d: %w", syntax.Offset, err)
	}
	return fmt.Errorf("not a report of distproof: %w", err)
}

// checkSchema refuses what is not a document of this schema, or lacks what
// every document has: a list that got lost must not look like an empty one.
func checkSchema(fields map[string]json.RawMessage) error {
	var schema string
	if err := json.Unmarshal(fields["schema"], &schema); err != nil || schema == "" {
		return errors.New(`not a report of distproof: it has no "schema"`)
	}
	if schema != Schema {
		if strings.HasPrefix(schema, "distproof.report/") {
			return fmt.Errorf("the report has the schema %q; this version reads %q", schema, Schema)
		}
		return fmt.Errorf("not a report of distproof: its schema is %q, not %q", schema, Schema)
	}
	for _, name := range []string{"tool", "inputs", "summary", "nodes", "connections", "edges", "epmd", "findings"} {
		if v, has := fields[name]; !has || string(v) == "null" {
			return fmt.Errorf("the report is incomplete: it has no %q", name)
		}
	}
	return nil
}

// check refuses a document whose conclusion cannot be understood, or that
// concludes from connections that it does not have.
func (d *Document) check() error {
	if !slices.Contains([]string{"", "pass", "fail", "inconclusive"}, d.Conclusion) {
		return fmt.Errorf("the report has the unknown conclusion %q", d.Conclusion)
	}
	n := 0
	for i := range d.Connections {
		if v := d.Connections[i].Verdict; v != nil {
			n++
			if !slices.Contains(verdicts(), *v) {
				return fmt.Errorf("the report has the unknown verdict %q", *v)
			}
		}
	}
	if total := d.Summary.Distribution.Total(); n != total {
		return fmt.Errorf("the report is incomplete: its summary counts %s between nodes, and it has %d", plural.Of(total, "connection", "connections"), n)
	}
	for i := range d.Findings {
		f := &d.Findings[i]
		if f.Rule == "" {
			return fmt.Errorf("the report is incomplete: its finding #%d is of no rule", i+1)
		}
		if f.Status != statusOpen && f.Status != statusWaived {
			return fmt.Errorf("the report has the unknown status %q, of its finding #%d", f.Status, i+1)
		}
	}
	return nil
}

// unknownFields collects the fields of JSON that a type has no place for, each
// once, as a path.
func unknownFields(data []byte, t reflect.Type, path string, found map[string]bool) error {
	switch t.Kind() {
	case reflect.Pointer:
		return unknownFields(data, t.Elem(), path, found)
	case reflect.Slice:
		var items []json.RawMessage
		if err := json.Unmarshal(data, &items); err != nil {
			return err
		}
		if !hasFields(t.Elem()) {
			return nil
		}
		for _, item := range items {
			if err := unknownFields(item, t.Elem(), path+"[]", found); err != nil {
				return err
			}
		}
	case reflect.Struct:
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(data, &fields); err != nil {
			return err
		}
		return unknownMembers(fields, t, path, found)
	}
	return nil
}

func unknownMembers(fields map[string]json.RawMessage, t reflect.Type, path string, found map[string]bool) error {
	known := map[string]reflect.Type{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		known[name] = t.Field(i).Type
	}
	for name, value := range fields {
		at := strings.TrimPrefix(path+"."+name, ".")
		of, ok := known[name]
		if !ok {
			found[at] = true
			continue
		}
		if !hasFields(of) {
			continue
		}
		if err := unknownFields(value, of, at, found); err != nil {
			return err
		}
	}
	return nil
}

// hasFields reports whether there can be unknown fields in values of a type.
func hasFields(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return hasFields(t.Elem())
	}
	return t.Kind() == reflect.Struct
}

// fillNil makes lists that an older version did not write yet empty ones.
func fillNil(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			fillNil(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fillNil(v.Field(i))
		}
	case reflect.Map:
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
	case reflect.Slice:
		if v.IsNil() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
		for i := range v.Len() {
			fillNil(v.Index(i))
		}
	}
}

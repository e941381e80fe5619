package report_test

import (
	"bytes"
	"strings"
	"testing"

	"distproof/decode"
	"distproof/report"
	"distproof/verify"
)

// TestLazy: that connections are made when they are written shows nowhere.
func TestLazy(t *testing.T) {
	strange := overTLS(5)
	strange.Ends[decode.Server].Node = "b\xff\x1b@n2.lab"
	hosted := overTLS(6)
	hosted.Ends[decode.Client].Host, hosted.Ends[decode.Client].NodeLength = "n9.lab", len("a@n9.lab")
	var many []*decode.Connection
	rows := 10_000
	if testing.Short() {
		rows = 1_000
	}
	for i := range rows {
		many = append(many, []func(int) *decode.Connection{overTLS, oneWay, inTheClear, unproven}[i%4](i+1))
		many[i].Number = uint64(i + 1)
	}
	for name, c := range map[string]*decode.Capture{
		"empty":   {},
		"many":    {Connections: many},
		"strange": {Connections: []*decode.Connection{strange, oneWay(2), inTheClear(3), unproven(4), hosted}, Nodes: []*decode.Node{{Name: "a@n9.lab"}, {Name: "\xfe@x"}}},
	} {
		j := verify.Judge(c, verify.Coverage{}, verify.Options{})
		whole, lazy := report.New(tool, nil, nil, c, j), report.NewLazy(tool, nil, nil, c, j)
		written := 0
		for _, format := range report.Formats() {
			var want, got bytes.Buffer
			if err := report.Render(&want, whole, format, report.Options{}); err != nil {
				t.Fatal(err)
			}
			switch err := lazy.Render(&got, format); {
			case !report.OneByOne(format):
				if err == nil || got.Len() > 0 {
					t.Errorf("%s as %s: %v, %d bytes", name, format, err, got.Len())
				}
			case err != nil:
				t.Errorf("%s as %s: %v", name, format, err)
			case !bytes.Equal(got.Bytes(), want.Bytes()):
				t.Errorf("%s as %s: lazily\n%s\nwant\n%s", name, format, start(&got), start(&want))
			default:
				written++
			}
		}
		if written != 3 {
			t.Errorf("%s: %d formats", name, written)
		}
	}
}

func start(b *bytes.Buffer) string { return strings.ToValidUTF8(string(b.Next(3000)), "?") }

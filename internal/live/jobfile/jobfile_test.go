package jobfile

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const whole = `{
  "name": "lab",
  "images": "nfs://10.0.0.1/images", "credentials": "boot:secrets/nas.json",
  "before": [["wget", "-O", "/dev/null", ""]],
  "steps": [
    {"command": "save", "image": "golden", "sources": ["serial:A", "/dev/sdb"], "except": ["sda3"], "compress": "max",
     "split": "4G", "rescue": true, "resume": true, "retries": 0, "before": [["true"]], "after": [["sh", "-c", "a && b"]]},
    {"command": "restore", "image": "-x", "targets": ["rule:size>=200G,bus=nvme", "/dev/sda"], "only": ["sda1", "sda2"], "keep_table": false, "verify": true, "delta": true},
    {"command": "clone", "source": "serial:A", "targets": ["wwn:B"]},
    {"image": "golden", "command": "verify"}
  ],
  "after": [],
  "then": "poweroff"
}
`

func TestParse(t *testing.T) {
	j, err := Parse([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	var args []string
	for _, s := range j.Steps {
		args = append(args, strings.Join(s.Args(), " "))
	}
	want := []string{
		"save --json --yes --except=sda3 --compress=max --split=4G --rescue --resume --retries=0 -- serial:A /dev/sdb golden",
		"restore --json --yes --only=sda1,sda2 --verify --delta -- -x rule:size>=200G,bus=nvme sda",
		"clone --json --yes -- serial:A wwn:B",
		"verify --json -- golden",
	}
	if !slices.Equal(args, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(args, "\n"), strings.Join(want, "\n"))
	}
	j.Steps = nil
	if want := (Job{Name: "lab", Images: "nfs://10.0.0.1/images", Credentials: "boot:secrets/nas.json",
		Before: [][]string{{"wget", "-O", "/dev/null", ""}}, Then: "poweroff"}); !reflect.DeepEqual(j, want) {
		t.Errorf("got %+v, want %+v", j, want)
	}
}

// bad are files that must be refused, with what the error says.
var bad = map[string]string{
	"":                                    "line 1: it ends too early",
	"{\n\"steps\": [}":                    "line 2: not JSON",
	"[]":                                  "must be an object",
	"{} {}":                               "behind the end",
	"{}":                                  "no \"steps\"",
	`{"steps": []}`:                       "no \"steps\"",
	"{\"steps\": [\n5]}":                  "line 2: steps[0]: must be an object",
	`{"steps": [{}]}`:                     `"command" is missing`,
	`{"Steps": [{}]}`:                     "Steps: no such field",
	"{\n\n\"colour\": 1}":                 "line 3: colour: no such field",
	`{"steps": {"a": 1}}`:                 "must be a list",
	`{"then": "dance"}`:                   "none of poweroff",
	`{"then": null}`:                      "must be a text",
	`{"name": ""}`:                        "is empty",
	`{"name": "a\u001b"}`:                 "control characters",
	`{"name":"a","name":""}`:              "twice",
	`{"before": ["reboot"]}`:              "no shell reads it",
	`{"before": [[]]}`:                    "empty list",
	`{"before": [["a\u0000"]]}`:           "must be a text",
	`{"images": "smb://anna:hush@srv/x"}`: "password in it",
	`{"images": "ftp://srv/x"}`:           "no kind of place",
	`{"images": "nfs://srv/x", "password": "hush"}`:                                         "password: no such field",
	"{\"steps\": [{\"command\": \"restore\", \"image\": \"x\",\n\n\"target\": [\"sda\"]}]}": "line 3: steps[0].target: restore has no such field",
	`{"steps": [{"command": "restore", "image": "x"}]}`:                                     `needs "targets"`,
	`{"steps": [{"command": "restore", "image": "x", "targets": []}]}`:                      "empty list",
	`{"steps": [{"command": "restore", "image": "x", "targets": ["a"], "only": ["a,b"]}]}`:  "comma",
	`{"steps": [{"command": "restore", "image": "x", "targets": ["rule:size>many"]}]}`:      "no size",
	`{"steps": [{"command": "restore", "image": "x", "targets": ["a"], "verify": "yes"}]}`:  "true or false",
	`{"steps": [{"command": "verify", "image": "x", "delta": true}]}`:                       "verify has no such field",
	`{"steps": [{"command": "save", "image": "x", "sources": ["a"], "retries": 1.5}]}`:      "whole number",
	`{"steps": [{"command": "save", "image": "x", "sources": ["a"], "retries": 1}]}`:        "goes with",
	`{"steps": [{"command": "dance"}]}`:                                                     "none of save",
	`{"credentials": "a", "steps": [{"command": "verify", "image": "x"}]}`:                  "name it in",
}

func TestParseRefuses(t *testing.T) {
	for _, text := range slices.Sorted(maps.Keys(bad)) {
		_, err := Parse([]byte(text))
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), bad[text]) {
			t.Errorf("%s: %v, want %q", text, err, bad[text])
		} else if strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: the error tells the password: %v", text, err)
		}
	}
	if _, err := Parse([]byte(strings.Repeat(" ", MaxSize) + "{}")); err == nil {
		t.Error("a file of any size is taken")
	}
}

// The schema names the same fields as the parser, with the same ones required.
func TestSchema(t *testing.T) {
	data, err := os.ReadFile("../../../docs/job.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	type object struct {
		Properties map[string]json.RawMessage
		Required   []string
		Additional *bool `json:"additionalProperties"`
	}
	var schema struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	check := func(name string, o object, fields, required []string) {
		slices.Sort(fields)
		slices.Sort(required)
		if got := slices.Sorted(maps.Keys(o.Properties)); !slices.Equal(got, fields) {
			t.Errorf("%s: the schema has %v, the parser %v", name, got, fields)
		}
		if slices.Sort(o.Required); !slices.Equal(o.Required, required) {
			t.Errorf("%s: the schema requires %v, the parser %v", name, o.Required, required)
		}
		if o.Additional == nil || *o.Additional {
			t.Errorf("%s: the schema takes any field", name)
		}
	}
	check("job", schema.object, strings.Fields(jobFields), []string{"steps"})
	for command, fields := range allowed {
		var all, required []string
		for _, f := range strings.Fields(fields) {
			name, must := strings.CutSuffix(f, "!")
			if all = append(all, name); must {
				required = append(required, name)
			}
		}
		check(command, schema.Defs[command], append(all, "command", "before", "after"), append(required, "command"))
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	for text := range bad {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		j, err := Parse(data)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Line < 1 || e.Line > 1+strings.Count(string(data), "\n") {
				t.Errorf("%T %v", err, err)
			}
			return
		}
		if !json.Valid(data) || len(j.Steps) == 0 {
			t.Errorf("taken: %s", data)
		}
		for _, s := range j.Steps {
			if args := s.Args(); args[0] != s.Command || !slices.Contains(args, "--") {
				t.Errorf("arguments %q", args)
			}
		}
	})
}

// judge is a validator of JSON Schema of somebody else's.
const judge = `
import json, sys
from jsonschema import Draft202012Validator as V
schema = json.load(open(sys.argv[1])); V.check_schema(schema)
print(json.dumps([V(schema).is_valid(json.loads(t)) for t in json.load(sys.stdin)]))`

// The schema takes what the parser takes, and refuses what it refuses, but for
// what no schema can say.
func TestSchemaAgainstJudge(t *testing.T) {
	if err := exec.Command("python3", "-c", "import jsonschema").Run(); err != nil {
		t.Skip("needs python3 with jsonschema (package python3-jsonschema)")
	}
	texts := []string{whole, `{"steps": [{"command": "verify", "image": "x"}]}`}
	good := len(texts)
	for _, text := range slices.Sorted(maps.Keys(bad)) {
		beyond := slices.ContainsFunc([]string{"password in it", "no kind of place", "twice", "no size", "goes with", "name it in", "a\\u0000"}, func(w string) bool {
			return strings.Contains(bad[text]+text, w)
		})
		if json.Valid([]byte(text)) && !beyond {
			texts = append(texts, text)
		}
	}
	in, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", "-c", judge, "../../../docs/job.schema.json")
	cmd.Stdin = strings.NewReader(string(in))
	out, err := cmd.Output()
	var valid []bool
	if err != nil || json.Unmarshal(out, &valid) != nil || len(valid) != len(texts) {
		t.Fatalf("%v: %s", err, out)
	}
	for i, v := range valid {
		if v != (i < good) {
			t.Errorf("the judge says %v of %s", v, texts[i])
		}
	}
	t.Logf("%d files judged", len(texts))
}

package admin

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth"
)

// TestKickBodies: a kick says whom, and is an error in doubt.
func TestKickBodies(t *testing.T) {
	cert, err := zmqauth.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	key := cert.Public.String()
	for body, want := range map[string]Selector{
		`{"user": "ann"}`:                                     {User: "ann"},
		`{"id": 7}`:                                           {ID: 7},
		`{"id": "7", "address": "10.0.0.0/8"}`:                {ID: 7, Address: "10.0.0.0/8"},
		`{"address": "uid:5"} ` + "\n":                        {Address: "uid:5"},
		`{"domain": "d", "frontend": "f"}`:                    {Domain: "d", Frontend: "f"},
		`{"all": true}`:                                       {},
		string(mustMarshal(t, map[string]string{"key": key})): {Key: cert.Public},
	} {
		if got, err := parseKick(strings.NewReader(body)); got != want || err != nil {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
	for body, want := range map[string]string{
		``:                              "not JSON",
		`{`:                             "not JSON",
		`{}`:                            "whose sessions",
		`[]`:                            "not a JSON object",
		`null`:                          "not a JSON object",
		`"ann"`:                         "not a JSON object",
		`{"user": ""}`:                  "user is empty",
		`{"user": null, "id": 1}`:       "neither a text nor a number",
		`{"user": ["ann"]}`:             "neither a text nor a number",
		`{"user": {"a": 1}}`:            "neither a text nor a number",
		`{"user": true}`:                "only all is true",
		`{"user": "a", "user": "b"}`:    "user is there twice",
		`{"id": 1, "id": 2}`:            "id is there twice",
		`{"id": 0}`:                     "not the number of a session",
		`{"id": -1}`:                    "not the number of a session",
		`{"id": 1.5}`:                   "not the number of a session",
		`{"id": 18446744073709551616}`:  "not the number of a session",
		`{"key": "x"}`:                  "not the 40 characters",
		`{"address": "10.0.0.0/8 ::1"}`: "not an IP address",
		`{"address": "*"}`:              "not an IP address",
		`{"USER": "ann"}`:               `unknown name "USER"`,
		`{"usr": "ann"}`:                `unknown name "usr"`,
		`{"user": "ann"} {"all": true}`: "something follows",
		`{"user": "ann"} x`:             "not JSON",
		`{"user": "ann"`:                "not JSON",
		`{"all": false}`:                "only all is true",
		`{"all": "true"}`:               `unknown name "all"`,
		`{"all": 1}`:                    `unknown name "all"`,
		`{"all": true, "all": true}`:    "only all is true",
		`{"all": true, "user": "ann"}`:  "it stands alone",
		strings.Repeat("[", 100_000):    "not a JSON object",
		`{"user":` + strings.Repeat("[", 100_000): "neither a text nor a number",
	} {
		got, err := parseKick(strings.NewReader(body))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %+v, %v; want %s", body, got, err, want)
		}
	}
}

func mustMarshal(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestQueries: a query chooses sessions, or is an error.
func TestQueries(t *testing.T) {
	for query, want := range map[string]Selector{
		"":                                      {},
		"user=a+b&id=3":                         {User: "a b", ID: 3},
		"address=127.0.0.1&domain=d&frontend=f": {Address: "127.0.0.1", Domain: "d", Frontend: "f"},
	} {
		if got, err := parseQuery(query); got != want || err != nil {
			t.Errorf("%s: %+v, %v", query, got, err)
		}
		again := want.fields()
		var copied Selector
		for _, f := range again {
			if err := copied.Set(f[0], f[1]); err != nil {
				t.Error(err)
			}
		}
		if copied != want {
			t.Errorf("%+v becomes %+v", want, copied)
		}
	}
	for _, query := range []string{"user=", "user", "usr=a", "user=a&user=b", "user=%zz", "a;b",
		"all=true"} {
		if got, err := parseQuery(query); err == nil {
			t.Errorf("%s: %+v", query, got)
		}
	}
}

func FuzzKick(f *testing.F) {
	f.Add(`{"user": "ann", "id": 5}`)
	f.Add(`{"all": true}`)
	f.Add(`{"address": "10.0.0.0/8"} `)
	f.Fuzz(func(t *testing.T, body string) {
		s, err := parseKick(strings.NewReader(body))
		if err != nil {
			return
		}
		var object map[string]any
		if err := json.Unmarshal([]byte(body), &object); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if all := object["all"] == true; all != (s == Selector{}) {
			t.Fatalf("%q: %+v", body, s)
		}
	})
}

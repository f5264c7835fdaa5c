package zap

import "testing"

func TestWireStatus(t *testing.T) {
	for _, test := range []struct {
		status                  int
		mechanism               string
		wantCode, wantText, gss string // gss: the code for GSSAPI
	}{
		{StatusOK, "NULL", "200", "OK", "200"},
		{StatusTemporary, "PLAIN", "300", "Try again later", "999"},
		{StatusDenied, "CURVE", "400", "Denied", "999"},
		{StatusError, "PLAIN", "500", "Error", "999"},
		{StatusCut, "", "999", "Denied", "999"},
		{0, "OTHER", "400", "Denied", "999"},
	} {
		code, text := WireStatus(test.status, []byte(test.mechanism))
		if code != test.wantCode || text != test.wantText {
			t.Errorf("%d over %s: %s %s", test.status, test.mechanism, code, text)
		}
		if code, _ := WireStatus(test.status, []byte(MechanismGSSAPI)); code != test.gss {
			t.Errorf("%d over GSSAPI: %s", test.status, code)
		}
	}
}

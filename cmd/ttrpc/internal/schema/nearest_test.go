package schema

import "testing"

func TestNearest(t *testing.T) {
	all := []string{"State", "Stats", "Start", "Pids", "a.b.Task", "Pids"}
	for _, test := range []struct{ name, want string }{
		{"Stat", "; near it: Start, State, Stats"},
		{"pids", "; near it: Pids"},
		{"Pdis", "; near it: Pids"},
		{"Task", "; near it: a.b.Task"},
		{"Checkpoint", ""},
		{"", ""},
	} {
		if got := Nearest(test.name, all); got != test.want {
			t.Errorf("%q: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"ab", "ba", 2}} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("%q, %q: got %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

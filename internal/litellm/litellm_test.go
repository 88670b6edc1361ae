package litellm

import "testing"

func TestNearestFindsSlipsAndLeavesStrangersAlone(t *testing.T) {
	for _, c := range []struct{ section, name, want string }{
		{SectionTop, "router_setting", "router_settings"},
		{SectionTop, "general-settings", "general_settings"},
		{SectionTop, "model_lsit", "model_list"},
		{SectionTop, "MODEL_LIST", "model_list"},
		{SectionTop, "model_list", ""},
		{SectionTop, "kitchen_sink", ""},
		{SectionTop, "", ""},
	} {
		got, ok := Nearest(c.section, c.name)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("Nearest(%q, %q) = %q, %t; want %q", c.section, c.name, got, ok, c.want)
		}
	}
}

func TestVersionsCompareAsPipDoes(t *testing.T) {
	order := []string{"1.82.7", "v1.83.0.dev3", "1.83.0a1", "1.83.0-nightly", "1.83.0rc1", "1.83.0rc2", "main-v1.83.0-stable", "1.83.0.post1", "1.83.10", "2.0.0"}
	for i := 1; i < len(order); i++ {
		a, ok1 := ParseVersion(order[i-1])
		b, ok2 := ParseVersion(order[i])
		if !ok1 || !ok2 {
			t.Fatalf("%s or %s is not read", order[i-1], order[i])
		}
		if i == 3 {
			continue // a nightly is older than an alpha of the same release; order among them means nothing
		}
		if a.Compare(b) >= 0 {
			t.Errorf("%s is not before %s", order[i-1], order[i])
		}
	}
	for _, tag := range []string{"", "latest", "main-stable", "1.83", "sha256:abc", "1..2"} {
		if v, ok := ParseVersion(tag); ok {
			t.Errorf("%q is read as version %s", tag, v)
		}
	}
}

package config

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

func TestAForgottenSectionLeavesTheOthersAndTheMemory(t *testing.T) {
	var text strings.Builder
	text.WriteString("router_settings: {num_retries: 3}\nmodel_list:\n")
	for i := range 5000 {
		fmt.Fprintf(&text, "- {model_name: m%d, litellm_params: {model: openai/x, api_key: os.environ/NONE}, model_info: &i%d {id: %d}}\n", i, i, i)
	}
	text.WriteString("general_settings: {master_key: k}\n")
	tree, _, err := Load(Sources{Data: []byte(text.String()), File: "c.yaml", Env: ProcessEnv(nil)})
	if err != nil {
		t.Fatal(err)
	}
	live := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := live()
	tree.Forget("model_list")
	tree.Forget("no_such_section")
	if freed := before - live(); freed < 5000*1000 {
		t.Errorf("%d bytes were freed", freed)
	}
	if tree.Section("model_list") != nil || len(tree.Models()) != 0 || len(tree.Root().Items()) != 2 {
		t.Error("the section is still there")
	}
	if n := tree.Get("general_settings.master_key"); n.Path() != "general_settings.master_key" || n.Where().Line != 5003 {
		t.Errorf("%s at %v", n.Path(), n.Where())
	}
	if n, _ := tree.Get("router_settings.num_retries").Int(); n != 3 {
		t.Errorf("num_retries is %d", n)
	}
	runtime.KeepAlive(tree)
}

package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
)

// Demands are what general_settings wants of every call of a model. The zero
// value wants nothing, and nothing is read for it.
type Demands struct {
	// User is enforce_user_param: the request must name a user.
	User bool
	// Params are enforced_params: members that a request must have, or as
	// "metadata.name" a member within one.
	Params []string
	// NoTags is reject_clientside_metadata_tags.
	NoTags bool
	// Unpriced reports whether the deployments behind a model name have no price;
	// such calls are refused. Nil refuses none.
	Unpriced func(model, team string) bool
	// MaxParallel is global_max_parallel_requests: calls in flight of all callers
	// together; 0 does not bound them.
	MaxParallel int
}

// The refusals say what LiteLLM says.
var (
	errNoUser = call.NewError(http.StatusUnauthorized, "auth_error", call.None, "Authentication Error, 'user' param not passed in. 'enforce_user_param'=True")
	errTags   = call.NewError(http.StatusBadRequest, "bad_request_error", "metadata.tags",
		"Client-side 'metadata.tags' not allowed in request. 'reject_clientside_metadata_tags'=True. Tags can only be set via API key metadata.")
)

// reads reports whether the members of a request matter at all.
func (d *Demands) reads() bool { return d.User || d.NoTags || len(d.Params) > 0 }

// demands refuses a request that is not as the operator wants requests.
func (c *chat) demands() *call.Error {
	d := &c.a.o.Demands
	if !d.reads() {
		return nil
	}
	if d.NoTags {
		// Only what stands in an object: text of that name is no metadata.
		var metadata map[string]json.RawMessage
		if json.Unmarshal(c.request.Raw(splice.Metadata), &metadata) == nil {
			if _, has := metadata["tags"]; has {
				return errTags
			}
		}
	}
	if d.User && c.value("user") == nil {
		return errNoUser
	}
	for _, name := range d.Params {
		outer, inner, nested := strings.Cut(name, ".")
		value := c.value(outer)
		if value == nil {
			return paramMissing(outer, "param="+outer)
		}
		if !nested {
			continue
		}
		var members map[string]json.RawMessage
		_ = json.Unmarshal(value, &members) // what is no object has no members
		if _, has := members[inner]; !has {
			return paramMissing(name, "param=["+outer+"]["+inner+"]")
		}
	}
	return nil
}

// priced refuses calls that nobody knows the price of, where that is wanted.
func (c *chat) priced() *call.Error {
	if f := c.a.o.Demands.Unpriced; f == nil || !f(c.plan.Model, c.plan.TeamID) {
		return nil
	}
	return call.NewError(http.StatusForbidden, "model_cost_map_missing", "model", "Model '"+c.plan.Model+"' has no pricing in the cost map, so litellm cannot price the request. "+
		"Requests for unpriced models are blocked because 'block_requests_for_models_without_pricing' is enabled. Add pricing (input_cost_per_token/output_cost_per_token) to allow the request.")
}

func paramMissing(param, what string) *call.Error {
	return call.NewError(http.StatusBadRequest, "invalid_request_error", param, "BadRequest please pass "+what+" in request body. This is a required param")
}

// value is a member of the request, or a field of its form; nil without one.
func (c *chat) value(name string) (value []byte) {
	if c.media != nil && c.media.form {
		if i := slices.IndexFunc(c.media.fields, func(f formField) bool { return f.name == name }); i >= 0 {
			return c.media.fields[i].value
		}
		return nil
	}
	c.request.Each(func(_ splice.Member, written, raw []byte) {
		if string(written) == name {
			value = raw
		} else if strings.IndexByte(string(written), '\\') >= 0 {
			var text string
			if json.Unmarshal([]byte(`"`+string(written)+`"`), &text) == nil && text == name {
				value = raw
			}
		}
	})
	return value
}

// formField is a field of a form, as Demands reads it.
type formField struct {
	name  string
	value []byte
}

// enter takes a place among the calls that may run at once, where they are
// bounded. It is kept until the last byte of the answer.
func (c *chat) enter() *call.Error {
	limit := c.a.o.Demands.MaxParallel
	if limit <= 0 {
		return nil
	}
	if running := c.a.state.calls.Add(1); running > int64(limit) {
		c.a.state.calls.Add(-1)
		return tooManyCalls(limit, running-1)
	}
	c.entered = true
	return nil
}

// unenter gives the place back, if there was one.
func (c *chat) unenter() {
	if c.entered {
		c.a.state.calls.Add(-1)
		c.entered = false
	}
}

func tooManyCalls(limit int, running int64) *call.Error {
	e := call.NewError(http.StatusTooManyRequests, "throttling_error", "",
		"Max parallel request limit reached Hit Global Limit: Limit="+strconv.Itoa(limit)+", current: "+strconv.FormatInt(running, 10))
	e.Header = http.Header{"Retry-After": {"1"}}
	return e
}

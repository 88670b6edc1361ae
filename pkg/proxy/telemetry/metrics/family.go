package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

type kind uint8

const (
	counter kind = iota
	gauge
	histogram
)

// definition is one of LiteLLM's metrics. Counters end in _total on the wire.
type definition struct {
	id     id
	name   string
	kind   kind
	help   string
	labels []label
	// plain takes no configured labels.
	plain   bool
	buckets []float64 // nil: those of latencies
}

// id names a metric in a cell's table of handles.
type id uint8

const (
	totalRequests id = iota
	failedRequests
	requests
	spend
	totalTokens
	inputTokens
	outputTokens
	inputCached
	inputCacheWrite
	inputAudio
	outputReasoning
	outputAudio
	imagesMade
	totalLatency
	apiLatency
	firstToken
	queueTime
	overhead
	overheadGuarded
	remainingRequests
	remainingTokens
	deploymentState
	tpmLimit
	rpmLimit
	cooledDown
	deploymentTotal
	deploymentSuccess
	deploymentFailure
	perOutputToken
	fallbackSuccess
	fallbackFailure
	apiFailed
	cacheHits
	cacheMisses
	cachedTokens
	providerCacheRead
	providerCacheWrite
	callbackFailures
	metricCount // how many there are
)

// Buckets of the latency histograms: those of the emulated release, and those
// of the releases before, which a dashboard of theirs may name.
var (
	Buckets    = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 420, 600}
	OldBuckets = oldBuckets()
	// pythonBuckets are the default of the Python client library.
	pythonBuckets = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
)

func oldBuckets() []float64 {
	b := []float64{0.005, 0.00625, 0.0125, 0.025, 0.05, 0.1}
	for x := 0.5; x <= 10; x += 0.5 {
		b = append(b, x)
	}
	return append(b, 15, 20, 25, 30, 60, 120, 180, 240, 300)
}

var (
	tokenLabels   = []label{endUser, hashedAPIKey, apiKeyAlias, model, team, teamAlias, user, userEmail, requestedModel, modelID, apiProvider, orgID, orgAlias}
	detailLabels  = tokenLabels[:11]
	latencyLabels = []label{modelGroup, endUser, hashedAPIKey, apiKeyAlias, requestedModel, team, teamAlias, user, model, modelID, apiProvider, serviceTier, orgID, orgAlias}
	targetLabels  = []label{litellmModelName, modelID, apiBase, apiProvider}
	limitLabels   = []label{modelGroup, litellmModelName, modelID, apiBase, apiProvider}
	groupLabels   = []label{modelGroup, apiProvider, apiBase, litellmModelName, hashedAPIKey, apiKeyAlias, modelID}
	attemptLabels = []label{modelGroup, requestedModel, litellmModelName, modelID, apiBase, apiProvider, hashedAPIKey, apiKeyAlias, team, teamAlias, clientIP, userAgent}
	cacheLabels   = []label{model, hashedAPIKey, apiKeyAlias, team, teamAlias, endUser, user, modelID, apiProvider}
	hopLabels     = []label{requestedModel, fallbackModel, hashedAPIKey, apiKeyAlias, team, teamAlias, exceptionStatus, exceptionClass, modelID}
)

var definitions = [metricCount]definition{
	{totalRequests, "litellm_proxy_total_requests_metric", counter, "Requests to the gateway, failed ones included.", []label{endUser, hashedAPIKey, apiKeyAlias, requestedModel, team, teamAlias, user, statusCode, userEmail, route, clientIP, userAgent, modelID, apiProvider, orgID, orgAlias}, false, nil},
	{failedRequests, "litellm_proxy_failed_requests_metric", counter, "Requests that the gateway answered with an error.", []label{endUser, hashedAPIKey, apiKeyAlias, requestedModel, team, teamAlias, user, userEmail, exceptionStatus, exceptionClass, route, clientIP, userAgent, modelID, apiProvider, orgID, orgAlias}, false, nil},
	{requests, "litellm_requests_metric", counter, "Calls of models that were answered.", []label{endUser, hashedAPIKey, apiKeyAlias, model, team, teamAlias, user, userEmail, clientIP, userAgent, requestedModel, modelID, apiProvider, orgID, orgAlias}, false, nil},
	{spend, "litellm_spend_metric", counter, "What calls cost, in US dollars.", []label{endUser, hashedAPIKey, apiKeyAlias, model, team, teamAlias, user, userEmail, clientIP, userAgent, requestedModel, modelID, apiProvider, serviceTier, orgID, orgAlias}, false, nil},
	{totalTokens, "litellm_total_tokens_metric", counter, "Tokens read and written.", tokenLabels, false, nil},
	{inputTokens, "litellm_input_tokens_metric", counter, "Tokens of prompts.", tokenLabels, false, nil},
	{outputTokens, "litellm_output_tokens_metric", counter, "Tokens of answers.", tokenLabels, false, nil},
	{inputCached, "litellm_input_cached_tokens_metric", counter, "Tokens of prompts that the provider had in its cache.", detailLabels, false, nil},
	{inputCacheWrite, "litellm_input_cache_creation_tokens_metric", counter, "Tokens of prompts that the provider put into its cache.", detailLabels, false, nil},
	{inputAudio, "litellm_input_audio_tokens_metric", counter, "Tokens of sound in prompts.", detailLabels, false, nil},
	{outputReasoning, "litellm_output_reasoning_tokens_metric", counter, "Tokens of answers that were spent on reasoning.", detailLabels, false, nil},
	{outputAudio, "litellm_output_audio_tokens_metric", counter, "Tokens of sound in answers.", detailLabels, false, nil},
	{imagesMade, "litellm_images_generated_metric", counter, "Images made.", tokenLabels, false, nil},
	{totalLatency, "litellm_request_total_latency_metric", histogram, "Seconds from a request's arrival to the end of its answer.", latencyLabels, false, nil},
	{apiLatency, "litellm_llm_api_latency_metric", histogram, "Seconds that the provider took.", latencyLabels, false, nil},
	{firstToken, "litellm_llm_api_time_to_first_token_metric", histogram, "Seconds from the provider's request to the first event of a stream.", latencyLabels, false, nil},
	{queueTime, "litellm_request_queue_time_seconds", histogram, "Seconds from a request's arrival to the begin of its first attempt.", []label{endUser, hashedAPIKey, apiKeyAlias, requestedModel, team, teamAlias, user, model, modelID, apiProvider, orgID, orgAlias}, false, nil},
	{overhead, "litellm_overhead_latency_metric", histogram, "Seconds of a call that were not the provider's.", groupLabels, false, nil},
	{overheadGuarded, "litellm_overhead_with_guardrails_latency_metric", histogram, "Seconds of a call that were not the provider's, guardrails included.", groupLabels, false, nil},
	{remainingRequests, "litellm_remaining_requests_metric", gauge, "Requests that the provider says are left.", groupLabels, false, nil},
	{remainingTokens, "litellm_remaining_tokens_metric", gauge, "Tokens that the provider says are left.", groupLabels, false, nil},
	{deploymentState, "litellm_deployment_state", gauge, "State of a deployment: 0 healthy, 1 its last call failed, 2 left out.", targetLabels, false, nil},
	{tpmLimit, "litellm_deployment_tpm_limit", gauge, "Tokens a minute that a deployment may be given.", limitLabels, false, nil},
	{rpmLimit, "litellm_deployment_rpm_limit", gauge, "Requests a minute that a deployment may be given.", limitLabels, false, nil},
	{cooledDown, "litellm_deployment_cooled_down", counter, "How often a deployment was left out for a while.", append(targetLabels[:4:4], exceptionStatus), false, nil},
	{deploymentTotal, "litellm_deployment_total_requests", counter, "Attempts at a deployment.", attemptLabels, false, nil},
	{deploymentSuccess, "litellm_deployment_success_responses", counter, "Attempts at a deployment that were answered.", attemptLabels, false, nil},
	{deploymentFailure, "litellm_deployment_failure_responses", counter, "Attempts at a deployment that failed.", append(attemptLabels[:12:12], exceptionStatus, exceptionClass), false, nil},
	{perOutputToken, "litellm_deployment_latency_per_output_token", histogram, "Seconds for one token of an answer.", []label{modelGroup, litellmModelName, modelID, apiBase, apiProvider, hashedAPIKey, apiKeyAlias, team, teamAlias, orgID, orgAlias}, false, pythonBuckets},
	{fallbackSuccess, "litellm_deployment_successful_fallbacks", counter, "Calls that another model group answered.", hopLabels, false, nil},
	{fallbackFailure, "litellm_deployment_failed_fallbacks", counter, "Calls that another model group did not answer either.", hopLabels, false, nil},
	{apiFailed, "litellm_llm_api_failed_requests_metric", counter, "Deprecated: use litellm_proxy_failed_requests_metric.", []label{endUser, hashedAPIKey, apiKeyAlias, model, team, teamAlias, user, modelID}, false, nil},
	{cacheHits, "litellm_cache_hits_metric", counter, "Calls that the response cache answered.", cacheLabels, false, nil},
	{cacheMisses, "litellm_cache_misses_metric", counter, "Calls that the response cache could not answer.", cacheLabels, false, nil},
	{cachedTokens, "litellm_cached_tokens_metric", counter, "Tokens of answers from the response cache.", cacheLabels, false, nil},
	{providerCacheRead, "litellm_provider_cache_read_input_tokens_metric", counter, "Tokens that providers read from their caches.", cacheLabels, false, nil},
	{providerCacheWrite, "litellm_provider_cache_creation_input_tokens_metric", counter, "Tokens that providers wrote to their caches.", cacheLabels, false, nil},
	{callbackFailures, "litellm_callback_logging_failures_metric", counter, "Records that a log target did not take.", nil, true, nil},
}

// identity are the metrics on which a caller is named by a configured label.
var identity = []id{deploymentTotal, deploymentSuccess, deploymentFailure, totalLatency, apiLatency, firstToken, queueTime, overhead, overheadGuarded, perOutputToken}

// family is a metric with its series.
type family struct {
	definition
	labels []label
	// custom are the positions of configured labels.
	custom  []int
	names   []string
	limit   int
	series  map[string]*series
	counter *prometheus.CounterVec
	gauge   *prometheus.GaugeVec
	hist    *prometheus.HistogramVec
}

// series is one set of label values of a family.
type series struct {
	add     prometheus.Counter
	set     prometheus.Gauge
	observe prometheus.Observer
	values  []string
	// used is when it was last written, in seconds since the start.
	used int64
}

// wireName is the name that is scraped.
func (d *definition) wireName() string {
	if d.kind == counter && !strings.HasSuffix(d.name, "_total") {
		return d.name + "_total"
	}
	return d.name
}

// at returns the series of a call's values; beyond the limit the one that takes
// the rest.
func (f *family) at(v *values) *series {
	list := make([]string, 0, len(f.names))
	for _, l := range f.labels {
		list = append(list, v.fixed[l])
	}
	for _, i := range f.custom {
		if i < len(v.custom) {
			list = append(list, orNone(clean(v.custom[i])))
		} else {
			list = append(list, none)
		}
	}
	return f.get(list)
}

func (f *family) get(list []string) *series {
	key := strings.Join(list, "\x00")
	if s := f.series[key]; s != nil {
		return s
	}
	if len(f.series) >= f.limit && len(list) > 0 {
		for i := range list {
			list[i] = overflow
		}
		key = strings.Join(list, "\x00")
		if s := f.series[key]; s != nil {
			return s
		}
	}
	s := &series{values: list}
	switch f.kind {
	case counter:
		s.add = f.counter.WithLabelValues(list...)
	case gauge:
		s.set = f.gauge.WithLabelValues(list...)
	case histogram:
		s.observe = f.hist.WithLabelValues(list...)
	}
	f.series[key] = s
	return s
}

// expire removes series that nothing has written to since.
func (f *family) expire(since int64) (removed bool) {
	for key, s := range f.series {
		if s.used >= since {
			continue
		}
		switch f.kind {
		case counter:
			f.counter.DeleteLabelValues(s.values...)
		case gauge:
			f.gauge.DeleteLabelValues(s.values...)
		case histogram:
			f.hist.DeleteLabelValues(s.values...)
		}
		delete(f.series, key)
		removed = true
	}
	return removed
}

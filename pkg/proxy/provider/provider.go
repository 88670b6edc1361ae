// Package provider knows how upstreams are spoken to: it prepares the lane of a
// deployment, one folder per wire format, and it reads what upstreams say when
// they refuse. It opens no connection, holds no state between requests, and
// decides neither about routing nor about money.
package provider

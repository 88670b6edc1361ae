// Package lifetest tries what happens to clients while gateways start, reload,
// are replaced and end: real processes under load, from which no request may
// fail and no stream be cut.
package lifetest

// Package tools is the module of the programs that check llmgw, apart from the
// product so that its go.mod names only what ships.
package tools

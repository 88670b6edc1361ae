package render

// ParseObjects lets tests read what an engine rendered.
var ParseObjects = parseObjects

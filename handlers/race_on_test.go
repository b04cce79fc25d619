//go:build race

package handlers_test

// raceDetector makes codecs ten times slower, so tests that are about memory move less.
const raceDetector = true

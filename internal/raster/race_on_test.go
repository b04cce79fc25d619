//go:build race

package raster_test

// raceDetector takes several times the memory that is measured.
const raceDetector = true

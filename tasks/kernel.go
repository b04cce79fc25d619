package tasks

// The filters that resize.
const (
	KernelAuto     = "auto" // KernelLanczos3 for shrinking, KernelCubic for enlarging
	KernelNearest  = "nearest"
	KernelLinear   = "linear"
	KernelCubic    = "cubic" // Catmull-Rom
	KernelMitchell = "mitchell"
	KernelLanczos2 = "lanczos2"
	KernelLanczos3 = "lanczos3"
)

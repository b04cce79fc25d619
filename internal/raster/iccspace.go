package raster

// white is D50, the white of profiles.
func white() [3]float64 { return [3]float64{0.9642, 1, 0.8249} }

// decodeXYZ decodes XYZ, which stands in tables as 0…1 for 0…1+32767/32768.
func decodeXYZ(v [4]float64) [3]float64 {
	const scale = 1 + 32767.0/32768
	return [3]float64{scale * v[0], scale * v[1], scale * v[2]}
}

// decodeLab decodes L*a*b*, whose 16 bits end at 0xFF00 in the older type.
func decodeLab(old bool) func([4]float64) [3]float64 {
	scale := 1.0
	if old {
		scale = 65535.0 / 65280
	}
	white := white()
	return func(v [4]float64) [3]float64 {
		fy := (100*scale*v[0] + 16) / 116
		fx, fz := fy+(255*scale*v[1]-128)/500, fy-(255*scale*v[2]-128)/200
		return [3]float64{white[0] * cube(fx), white[1] * cube(fy), white[2] * cube(fz)}
	}
}

// cube is the inverse of the function that L*a*b* is made with.
func cube(f float64) float64 {
	if f > 6.0/29 {
		return f * f * f
	}
	return (f - 4.0/29) * 108 / 841
}

// fromLightness is the luminance of a lightness.
func fromLightness(l float64) float64 { return cube((l + 16) / 116) }

// perceptualBlack is the darkest colour of the medium that the tables of version 4 are made for.
func perceptualBlack() [3]float64 { return [3]float64{0.00336, 0.0034731, 0.00287} }

// darkest is the black that a device with tables has: all inks, or no light. It is taken as neutral, and as no lighter than half.
func (t *table) darkest() [3]float64 {
	var sample [4]byte
	if t.channels == 4 {
		sample = [4]byte{255, 255, 255, 255}
	}
	y := max(0, min(fromLightness(50), t.xyz(sample)[1]))
	white := white()
	return [3]float64{white[0] * y, white[1] * y, white[2] * y}
}

// linear is the colour of a sample in linear sRGB, with the darkest colour moved to black, so that dark pictures keep their depth on a screen.
func (t *table) linear(sample [4]byte) [3]float64 {
	xyz, white := t.xyz(sample), white()
	for i := range xyz {
		xyz[i] = (xyz[i] - t.black[i]) * white[i] / (white[i] - t.black[i])
	}
	m := fromXYZ()
	return [3]float64{
		m[0]*xyz[0] + m[1]*xyz[1] + m[2]*xyz[2], m[3]*xyz[0] + m[4]*xyz[1] + m[5]*xyz[2], m[6]*xyz[0] + m[7]*xyz[1] + m[8]*xyz[2],
	}
}

// fromXYZ turns XYZ under D50 into linear sRGB: the inverse of the primaries in sRGB's own profile.
func fromXYZ() [9]float64 {
	return [9]float64{
		3.1338561, -1.6168667, -0.4906146,
		-0.9787684, 1.9161415, 0.0334540,
		0.0719453, -0.2289914, 1.4052427,
	}
}

// encodeTable is sRGB's own curve, from linear light in encodeSteps to 0…255.
func encodeTable() []byte {
	out := make([]byte, encodeSteps+1)
	code, next := 0, toLinear(0.5/255)*encodeSteps
	for i := range out {
		for float64(i) >= next && code < 255 {
			code++
			next = toLinear((float64(code)+0.5)/255) * encodeSteps
		}
		out[i] = byte(code)
	}
	return out
}

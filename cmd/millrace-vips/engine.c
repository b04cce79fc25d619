//go:build vips

#include "engine.h"

#include <string.h>
#include <vips/vips.h>

/* A pool of references: the images of one order, dropped together. */
typedef struct {
	VipsImage *images[128];
	int count;
} pool;

static VipsImage *keep(pool *p, VipsImage *image) {
	if (p->count < (int) G_N_ELEMENTS(p->images))
		p->images[p->count++] = image;
	return image;
}

static void drop(pool *p, int from) {
	while (p->count > from)
		g_object_unref(p->images[--p->count]);
}

static int fault(const char *why) {
	vips_error("engine", "%s", why);
	return -1;
}

int engine_init(void) {
	if (VIPS_INIT("millrace-vips"))
		return -1;
	/* Loaders that have not been hardened are off, whatever else is asked. */
	vips_block_untrusted_set(TRUE);
	/* One image at a time on one thread: there are as many helpers as cores. No image comes twice, so nothing is worth keeping. */
	vips_concurrency_set(1);
	vips_cache_set_max(0);
	vips_cache_set_max_mem(0);
	vips_cache_set_max_files(0);
	return 0;
}

const char *engine_version(void) {
	return vips_version_string();
}

const char *engine_error(void) {
	const char *text = vips_error_buffer();
	static char copy[512];
	g_strlcpy(copy, text, sizeof(copy));
	vips_error_clear();
	return copy;
}

int engine_has(const char *operation) {
	return vips_type_find("VipsOperation", operation) != 0;
}

void engine_free(void *data) {
	g_free(data);
}

/* load opens the input by the loader of its format alone. Pixels come from top to bottom, once. */
static int load(const engine_input *in, VipsSource *source, VipsImage **out) {
	const VipsFailOn strict = VIPS_FAIL_ON_TRUNCATED;
	const VipsAccess access = VIPS_ACCESS_SEQUENTIAL;

	if (!strcmp(in->format, "jpeg"))
		return vips_jpegload_source(source, out, "shrink", in->denom, "fail_on", strict, "access", access, NULL);
	if (!strcmp(in->format, "png"))
		return vips_pngload_source(source, out, "fail_on", strict, "access", access, NULL);
	if (!strcmp(in->format, "webp"))
		return vips_webpload_source(source, out, "page", in->page, "fail_on", strict, "access", access, NULL);
	if (!strcmp(in->format, "tiff"))
		return vips_tiffload_source(source, out, "page", in->page, "fail_on", strict, "access", access, NULL);
	if (!strcmp(in->format, "avif"))
		return vips_heifload_source(source, out, "page", in->page, "fail_on", strict, "access", access, NULL);
	return fault("no loader for this format");
}

static int ceil_div(int a, int b) {
	return (a + b - 1) / b;
}

/* check refuses what the header did not announce, and every kind of pixel that only the worker's own engine treats as documented. */
static int check(const engine_input *in, VipsImage *image) {
	VipsInterpretation space = vips_image_guess_interpretation(image);

	/* libvips drops the last column and row of a shrunk JPEG where they stand for less than a whole pixel. */
	if ((image->Xsize != ceil_div(in->width, in->denom) && image->Xsize != in->width / in->denom) ||
		(image->Ysize != ceil_div(in->height, in->denom) && image->Ysize != in->height / in->denom))
		return fault("the picture has another size than its header says");
	if (image->Coding != VIPS_CODING_NONE || image->Bands < 1 || image->Bands > 4)
		return fault("no pixels of 1 to 4 bands");
	if (image->BandFmt != VIPS_FORMAT_UCHAR && image->BandFmt != VIPS_FORMAT_USHORT)
		return fault("no samples of 8 or 16 bits");
	if (space != VIPS_INTERPRETATION_sRGB && space != VIPS_INTERPRETATION_RGB16 && space != VIPS_INTERPRETATION_B_W &&
		space != VIPS_INTERPRETATION_GREY16)
		return fault("neither grey nor RGB");
	if (!strcmp(in->format, "tiff") && vips_image_hasalpha(image))
		return fault("the transparency of a TIFF");
	return 0;
}

static VipsKernel kernel(const char *name) {
	if (!strcmp(name, "linear"))
		return VIPS_KERNEL_LINEAR;
	if (!strcmp(name, "cubic"))
		return VIPS_KERNEL_CUBIC;
	if (!strcmp(name, "mitchell"))
		return VIPS_KERNEL_MITCHELL;
	if (!strcmp(name, "lanczos2"))
		return VIPS_KERNEL_LANCZOS2;
	return VIPS_KERNEL_LANCZOS3;
}

/* cut takes a box, given in pixels of the stored picture, from one that was loaded smaller. */
static int cut(pool *p, const engine_input *in, const engine_box *box, VipsImage **image) {
	int x = box->x / in->denom, y = box->y / in->denom;
	int w = VIPS_MIN(ceil_div(box->x + box->w, in->denom), (*image)->Xsize) - x;
	int h = VIPS_MIN(ceil_div(box->y + box->h, in->denom), (*image)->Ysize) - y;
	VipsImage *out;

	if (x == 0 && y == 0 && w == (*image)->Xsize && h == (*image)->Ysize)
		return 0;
	if (vips_extract_area(*image, &out, x, y, w, h, NULL))
		return -1;
	*image = keep(p, out);
	return 0;
}

/* eight_bits rounds to bytes what has more. */
static int eight_bits(pool *p, double scale, VipsImage **image) {
	VipsImage *out;

	if ((*image)->BandFmt == VIPS_FORMAT_UCHAR)
		return 0;
	if (vips_linear1(*image, &out, scale, 0.5, NULL))
		return -1;
	keep(p, out);
	if (vips_cast(out, &out, VIPS_FORMAT_UCHAR, NULL))
		return -1;
	keep(p, out);
	if (vips_copy(out, &out, "interpretation", out->Bands < 3 ? VIPS_INTERPRETATION_B_W : VIPS_INTERPRETATION_sRGB, NULL))
		return -1;
	*image = keep(p, out);
	return 0;
}

/* resize brings the picture to exactly w x h. What is transparent weighs nothing in it. */
static int resize(pool *p, const engine_output *o, VipsImage **image) {
	double max = (*image)->BandFmt == VIPS_FORMAT_USHORT ? 65535 : 255;
	gboolean alpha = vips_image_hasalpha(*image);
	VipsImage *out = *image;

	if (out->Xsize == o->scaled_w && out->Ysize == o->scaled_h)
		return eight_bits(p, 255.0 / max, image);
	if (alpha) {
		if (vips_premultiply(out, &out, "max_alpha", max, NULL))
			return -1;
		keep(p, out);
	}
	if (vips_resize(out, &out, (double) o->scaled_w / out->Xsize, "vscale", (double) o->scaled_h / out->Ysize, "kernel", kernel(o->kernel), NULL))
		return -1;
	keep(p, out);
	if (alpha) {
		if (vips_unpremultiply(out, &out, "max_alpha", max, NULL))
			return -1;
		keep(p, out);
	}
	if (out->Xsize != o->scaled_w || out->Ysize != o->scaled_h)
		return fault("resized to another size");
	*image = out;
	return eight_bits(p, 255.0 / max, image);
}

/* turn mirrors, then swaps rows and columns. The picture is small by now and lies in memory. */
static int turn(pool *p, const engine_output *o, VipsImage **image) {
	VipsImage *out = *image;

	if (o->flip_x) {
		if (vips_flip(out, &out, VIPS_DIRECTION_HORIZONTAL, NULL))
			return -1;
		keep(p, out);
	}
	if (o->flip_y) {
		if (vips_flip(out, &out, VIPS_DIRECTION_VERTICAL, NULL))
			return -1;
		keep(p, out);
	}
	if (o->swap) {
		if (vips_rot(out, &out, VIPS_ANGLE_D90, NULL))
			return -1;
		keep(p, out);
		if (vips_flip(out, &out, VIPS_DIRECTION_HORIZONTAL, NULL))
			return -1;
		keep(p, out);
	}
	*image = out;
	return 0;
}

/* settle computes the pixels, and drops a band of transparency in which nothing is transparent. */
static int settle(pool *p, VipsImage **image) {
	VipsImage *out, *alpha;
	double least;

	if (!(out = vips_image_copy_memory(*image)))
		return -1;
	*image = keep(p, out);
	if (!vips_image_hasalpha(out))
		return 0;
	if (vips_extract_band(out, &alpha, out->Bands - 1, NULL))
		return -1;
	keep(p, alpha);
	if (vips_min(alpha, &least, NULL))
		return -1;
	if (least < 255)
		return 0;
	if (vips_extract_band(*image, &out, 0, "n", (*image)->Bands - 1, NULL))
		return -1;
	*image = keep(p, out);
	return 0;
}

static int save(VipsImage *image, const engine_encoding *e, void **data, size_t *length) {
	VipsForeignSubsample chroma = e->full_chroma ? VIPS_FOREIGN_SUBSAMPLE_OFF : VIPS_FOREIGN_SUBSAMPLE_ON;

	if (!strcmp(e->format, "jpeg"))
		return vips_jpegsave_buffer(image, data, length, "Q", e->quality, "strip", TRUE, "optimize_coding", TRUE, "interlace", e->progressive,
			"subsample_mode", chroma, NULL);
	if (!strcmp(e->format, "png"))
		return vips_pngsave_buffer(image, data, length, "strip", TRUE, "compression", 6, "filter", VIPS_FOREIGN_PNG_FILTER_ALL, NULL);
	if (!strcmp(e->format, "webp"))
		return vips_webpsave_buffer(image, data, length, "Q", e->quality, "lossless", e->lossless, "effort", e->effort, "strip", TRUE, NULL);
	if (!strcmp(e->format, "avif"))
		return vips_heifsave_buffer(image, data, length, "Q", e->quality, "lossless", e->lossless, "effort", e->effort, "strip", TRUE,
			"compression", VIPS_FOREIGN_HEIF_COMPRESSION_AV1, "subsample_mode", chroma, NULL);
	return fault("no encoder for this format");
}

static int deliver(VipsImage *image, const engine_encoding *e, engine_picture *picture) {
	picture->width = image->Xsize;
	picture->height = image->Ysize;
	picture->bands = image->Bands;
	/* A JPEG has no transparency, and what lies under it is the worker's to say. */
	picture->encoded = e->format != NULL && !(vips_image_hasalpha(image) && !strcmp(e->format, "jpeg"));
	if (picture->encoded)
		return save(image, e, &picture->data, &picture->length);
	picture->data = vips_image_write_to_memory(image, &picture->length);
	return picture->data == NULL ? -1 : 0;
}

static int render(pool *p, const engine_input *in, VipsImage *image, const engine_output *o, engine_picture *picture) {
	VipsImage *out;

	if (cut(p, in, &o->source, &image) || resize(p, o, &image))
		return -1;
	if (o->window.w != o->scaled_w || o->window.h != o->scaled_h) {
		if (vips_extract_area(image, &out, o->window.x, o->window.y, o->window.w, o->window.h, NULL))
			return -1;
		image = keep(p, out);
	}
	if (settle(p, &image) || turn(p, o, &image))
		return -1;
	return deliver(image, &o->encoding, picture);
}

int engine_render(const engine_input *in, const engine_output *outputs, int count, engine_picture *pictures) {
	pool p = {.count = 0};
	VipsSource *source = in->path ? vips_source_new_from_file(in->path) : vips_source_new_from_memory(in->data, in->length);
	VipsImage *image;
	int code = -1;

	if (!source)
		return -1;
	if (!load(in, source, &image)) {
		keep(&p, image);
		code = check(in, image);
		/* Pixels come once: for several outputs they are kept. */
		if (!code && count > 1) {
			VipsImage *all = vips_image_copy_memory(image);
			if (all)
				image = keep(&p, all);
			else
				code = -1;
		}
		int from = p.count;
		for (int i = 0; i < count && !code; i++) {
			code = render(&p, in, image, &outputs[i], &pictures[i]);
			drop(&p, from);
		}
	}
	drop(&p, 0);
	g_object_unref(source);
	if (code)
		for (int i = 0; i < count; i++) {
			g_free(pictures[i].data);
			pictures[i].data = NULL;
		}
	return code;
}

int engine_encode(const engine_pixels *in, const engine_encoding *how, engine_picture *picture) {
	static const VipsInterpretation spaces[] = {VIPS_INTERPRETATION_B_W, VIPS_INTERPRETATION_B_W, VIPS_INTERPRETATION_sRGB, VIPS_INTERPRETATION_sRGB};
	pool p = {.count = 0};
	size_t length = (size_t) in->width * in->height * in->frames * in->bands;
	VipsImage *raw = vips_image_new_from_memory(in->data, length, in->width, in->height * in->frames, in->bands, VIPS_FORMAT_UCHAR);
	VipsImage *image;
	int code = -1;

	if (!raw)
		return -1;
	keep(&p, raw);
	if (!vips_copy(raw, &image, "interpretation", spaces[in->bands - 1], NULL)) {
		keep(&p, image);
		if (in->frames > 1) {
			vips_image_set_int(image, VIPS_META_PAGE_HEIGHT, in->height);
			vips_image_set_int(image, "loop", in->loop);
			vips_image_set_array_int(image, "delay", in->delays, in->delay_count);
		}
		code = save(image, how, &picture->data, &picture->length);
		picture->width = in->width;
		picture->height = in->height;
		picture->bands = in->bands;
		picture->encoded = 1;
	}
	drop(&p, 0);
	return code;
}

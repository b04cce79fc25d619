#ifndef MILLRACE_ENGINE_H
#define MILLRACE_ENGINE_H

#include <stddef.h>

/* What package order says, for C. All memory that comes back is the caller's, to be given to engine_free. */

typedef struct {
	const char *path; /* or NULL, then data */
	const void *data;
	size_t length;
	const char *format;
	int width, height;
	int page, denom;
} engine_input;

typedef struct {
	const char *format; /* NULL: raw pixels */
	int quality, effort;
	int lossless, progressive, full_chroma;
} engine_encoding;

typedef struct {
	int x, y, w, h;
} engine_box;

typedef struct {
	engine_box source, window;
	int scaled_w, scaled_h;
	const char *kernel;
	int flip_x, flip_y, swap;
	engine_encoding encoding;
} engine_output;

typedef struct {
	void *data;
	size_t length;
	int width, height, bands;
	int encoded; /* data is as the encoding says, not raw pixels */
} engine_picture;

typedef struct {
	void *data;
	int width, height, bands;
	int frames, loop;
	const int *delays;
	int delay_count;
} engine_pixels;

int engine_init(void);
const char *engine_version(void);
const char *engine_error(void);
int engine_has(const char *operation);
int engine_render(const engine_input *in, const engine_output *outputs, int count, engine_picture *pictures);
int engine_encode(const engine_pixels *in, const engine_encoding *how, engine_picture *picture);
void engine_free(void *data);

#endif

/* Samples as they come to windows as the model takes them, HS_WINDOW long and HS_HOP apart. */
#ifndef HS_STREAM_H
#define HS_STREAM_H

#include <stdint.h>

#include "hs_config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All zeros in the beginning. */
typedef struct {
  int16_t samples[HS_WINDOW]; /* a window once `count` is HS_WINDOW */
  int32_t count;
  int32_t skip; /* samples between windows that are further apart than they are long */
} hs_stream;

/* Takes up to `count` samples and returns how many it took: fewer where a window is complete, which is to be used
 * before hs_stream_next. */
int32_t hs_stream_put(hs_stream *stream, const int16_t *samples, int32_t count);

/* Whether a window is complete. */
int hs_stream_full(const hs_stream *stream);

/* Makes room for the samples of the next window. */
void hs_stream_next(hs_stream *stream);

#ifdef __cplusplus
}
#endif

#endif

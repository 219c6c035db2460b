#include "hs_stream.h"

#include <string.h>

int32_t hs_stream_put(hs_stream *stream, const int16_t *samples, int32_t count) {
  int32_t taken = 0;
  for (; taken < count && stream->count < HS_WINDOW; taken++) {
    if (stream->skip > 0) {
      stream->skip--;
    } else {
      stream->samples[stream->count++] = samples[taken];
    }
  }
  return taken;
}

int hs_stream_full(const hs_stream *stream) { return stream->count == HS_WINDOW; }

void hs_stream_next(hs_stream *stream) {
  const int32_t kept = HS_WINDOW > HS_HOP ? HS_WINDOW - HS_HOP : 0;
  memmove(stream->samples, stream->samples + HS_WINDOW - kept, (size_t)kept * sizeof stream->samples[0]);
  stream->count = kept;
  stream->skip = HS_HOP > HS_WINDOW ? HS_HOP - HS_WINDOW : 0;
}

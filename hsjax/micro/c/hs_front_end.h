/* Samples to the features that the model takes. Plain C99, no heap, nothing kept between windows: all memory is the
 * caller's.
 *
 * Both functions compute what the front end beside the model computes: mean removed, Butterworth band-pass, unit RMS,
 * power spectra of overlapping frames, mel bands, dB, for MFCCs a cosine transform, normalisation. Link the one that
 * suits the processor; neither needs the other.
 *
 * A window is int16 at HS_SAMPLE_RATE. Its gain does not matter, for it is scaled to unit RMS. With TFLite Micro:
 *
 *   static hs_stream stream;
 *   static hs_fixed_scratch scratch;
 *
 *   taken = hs_stream_put(&stream, samples, count);
 *   if (hs_stream_full(&stream)) {
 *     hs_features_fixed(stream.samples, interpreter.input(0)->data.int8, &scratch);
 *     hs_stream_next(&stream);
 *     interpreter.Invoke();
 *   }
 */
#ifndef HS_FRONT_END_H
#define HS_FRONT_END_H

#include <stdint.h>

#include "hs_config.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int64_t mean;                     /* of the window */
  int32_t past[HS_SECTIONS + 1][2]; /* the last values before, between and behind the sections */
  int32_t rest[HS_SECTIONS];        /* what was cut off the last ones */
  int fraction;                     /* bits behind the point, in steps of the samples */
} hs_band_pass_state;

/* Working memory of hs_features_fixed. It holds nothing worth keeping afterwards: it may lie where the model's arena
 * lies, as long as the model runs later. */
typedef struct {
  uint64_t power[HS_BINS];
  hs_band_pass_state band_pass;
  int32_t frame[HS_N_FFT];             /* the last filtered samples, a ring */
  int32_t spectrum[HS_N_FFT];          /* real and imaginary parts by turns */
  uint16_t level[HS_FRAMES][HS_BANDS]; /* log2 of the energy of each band */
} hs_fixed_scratch;

/* Integer arithmetic only, no libm. The features are int8 as the model takes them, coefficient by coefficient. */
void hs_features_fixed(const int16_t samples[HS_WINDOW], int8_t features[HS_FEATURES], hs_fixed_scratch *scratch);

/* Working memory of hs_features_float, likewise. */
typedef struct {
  hs_band_pass_state band_pass;
  float power[HS_BINS];
  float frame[HS_N_FFT];
  float spectrum[HS_N_FFT];
  float level[HS_FRAMES][HS_BANDS]; /* energy of each band, at the end in dB */
} hs_float_scratch;

/* Single precision, for processors that have it in hardware; needs log10f. */
void hs_features_float(const int16_t samples[HS_WINDOW], float features[HS_FEATURES], hs_float_scratch *scratch);

/* Float features to those that the model takes. */
void hs_quantise(const float features[HS_FEATURES], int8_t quantised[HS_FEATURES]);

#ifdef __cplusplus
}
#endif

#endif

/* The front end in single precision, behind a band-pass in integers. */
#include <math.h>

#include "hs_band_pass.h"
#include "hs_front_end.h"
#include "hs_tables_float.h"

#define HALF (HS_N_FFT / 2)
#define QUARTER (HS_N_FFT / 4)

/* Of 2 pi index / HS_N_FFT, for up to half a turn. */
static float cosine(int index) { return index <= QUARTER ? HS_COSINE[index] : -HS_COSINE[HALF - index]; }
static float sine(int index) { return index <= QUARTER ? HS_COSINE[QUARTER - index] : HS_COSINE[index - QUARTER]; }

/* The frame that begins at place `first` of the ring, under Hann's window. Even samples are the real parts and odd ones
 * the imaginary parts of HALF complex numbers, which takes half the work; they come in the order of reversed bits. */
static void load(const float frame[HS_N_FFT], int first, float spectrum[HS_N_FFT]) {
  int i, bit, reversed = 0;
  for (i = 0; i < HS_N_FFT; i++) {
    const float window = 0.5f - 0.5f * cosine(i <= HALF ? i : HS_N_FFT - i);
    spectrum[2 * reversed + (i & 1)] = frame[(first + i) & (HS_N_FFT - 1)] * window;
    if (i & 1) {
      for (bit = HALF / 2; reversed & bit; bit /= 2) reversed ^= bit;
      reversed |= bit;
    }
  }
}

/* Cooley and Tukey's transform of the HALF complex numbers, in place, decimated in time. */
static void transform(float spectrum[HS_N_FFT]) {
  int span, k, start;
  for (span = 1; span < HALF; span *= 2) {
    for (k = 0; k < span; k++) {
      const float c = cosine(k * (HALF / span)), s = sine(k * (HALF / span));
      for (start = k; start < HALF; start += 2 * span) {
        float *a = spectrum + 2 * start, *b = a + 2 * span;
        const float real = b[0] * c + b[1] * s, imaginary = b[1] * c - b[0] * s;
        b[0] = a[0] - real;
        b[1] = a[1] - imaginary;
        a[0] += real;
        a[1] += imaginary;
      }
    }
  }
}

/* Power of bin k, 0 to HALF. */
static float power(const float spectrum[HS_N_FFT], int k) {
  const float *z = spectrum + 2 * (k % HALF), *mirrored = spectrum + 2 * ((HALF - k) % HALF);
  const float c = cosine(k), s = sine(k);
  /* Twice the transform of the even samples, and of the odd ones. */
  const float even_real = z[0] + mirrored[0], even_imaginary = z[1] - mirrored[1];
  const float odd_real = z[1] + mirrored[1], odd_imaginary = mirrored[0] - z[0];
  const float real = even_real + odd_real * c + odd_imaginary * s;
  const float imaginary = even_imaginary + odd_imaginary * c - odd_real * s;
  return 0.25f * (real * real + imaginary * imaginary);
}

static void band_energies(hs_float_scratch *scratch, float energies[HS_BANDS]) {
  const float *weight = HS_BAND_WEIGHTS;
  int bin, band;
  for (bin = 0; bin < HS_BINS; bin++) scratch->power[bin] = power(scratch->spectrum, HS_FIRST_BIN + bin);
  for (band = 0; band < HS_BANDS; band++) {
    const float *here = scratch->power + HS_BAND_FIRST[band];
    float energy = 0;
    for (bin = 0; bin < HS_BAND_BINS[band]; bin++) energy += *here++ * *weight++;
    energies[band] = energy;
  }
}

/* Band energies to features: unit RMS, dB, the range below the highest level cut off, cosine transform,
 * normalisation. */
static void finish(hs_float_scratch *scratch, float mean_square, float features[HS_FEATURES]) {
  const float gain = 1 / (mean_square < HS_SILENCE ? HS_SILENCE : mean_square);
  float highest = HS_LOWEST_LEVEL;
  int t, band, k;
  for (t = 0; t < HS_FRAMES; t++) {
    for (band = 0; band < HS_BANDS; band++) {
      const float energy = scratch->level[t][band] * gain;
      const float level = energy > HS_LOWEST_ENERGY ? 10 * log10f(energy) : HS_LOWEST_LEVEL;
      scratch->level[t][band] = level;
      if (level > highest) highest = level;
    }
  }
  for (t = 0; t < HS_FRAMES; t++) {
    float *levels = scratch->level[t];
    for (band = 0; band < HS_BANDS; band++) {
      if (levels[band] < highest - HS_RANGE) levels[band] = highest - HS_RANGE;
    }
    for (k = 0; k < HS_COEFFICIENTS; k++) {
      float sum = HS_BIAS[k];
#if HS_CEPSTRUM
      for (band = 0; band < HS_BANDS; band++) sum += HS_GAIN[k][band] * levels[band];
#else
      sum += HS_GAIN[k] * levels[k];
#endif
      features[k * HS_FRAMES + t] = sum;
    }
  }
}

void hs_features_float(const int16_t samples[HS_WINDOW], float features[HS_FEATURES], hs_float_scratch *scratch) {
  float unit, squares = 0, recent = 0;
  int n, t = 0;
  hs_band_pass_begin(&scratch->band_pass, samples);
  unit = 1.0f / 32768 / (float)((int32_t)1 << scratch->band_pass.fraction); /* of filtered samples; full scale is 1 */
  for (n = 0; n < HS_N_FFT; n++) scratch->frame[n] = 0;
  /* Frame t is centred on sample t * HS_HOP_LENGTH; beyond both ends there are zeros. */
  for (n = 0; n < HS_WINDOW || t < HS_FRAMES; n++) {
    const float filtered = n < HS_WINDOW ? unit * (float)hs_band_pass(&scratch->band_pass, samples[n]) : 0;
    const int place = n & (HS_N_FFT - 1);
    scratch->frame[place] = filtered;
    /* A sum of sums, which rounds less than one long sum. */
    recent += filtered * filtered;
    if (place == HS_N_FFT - 1 || n == HS_WINDOW - 1) {
      squares += recent;
      recent = 0;
    }
    if (t < HS_FRAMES && n + 1 == t * HS_HOP_LENGTH + HALF) {
      load(scratch->frame, n + 1, scratch->spectrum);
      transform(scratch->spectrum);
      band_energies(scratch, scratch->level[t++]);
    }
  }
  finish(scratch, squares / HS_WINDOW, features);
}

void hs_quantise(const float features[HS_FEATURES], int8_t quantised[HS_FEATURES]) {
  int i;
  for (i = 0; i < HS_FEATURES; i++) {
    /* Halves away from zero, as TFLite's QUANTIZE. */
    const float steps = features[i] / HS_INPUT_SCALE;
    const float value = (steps < 0 ? ceilf(steps - 0.5f) : floorf(steps + 0.5f)) + HS_INPUT_ZERO_POINT;
    quantised[i] = (int8_t)(value < -128 ? -128 : value > 127 ? 127 : value);
  }
}

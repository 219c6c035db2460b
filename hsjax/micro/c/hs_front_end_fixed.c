/* The front end in integer arithmetic. Qn is a real number times 2^n.
 *
 *   samples           int16
 *   filtered          int32, below 2^29: see hs_band_pass.h
 *   frame             int32, shifted left by up to MOST_SHIFT bits as far as its largest sample stays below 2^29
 *   spectrum          int32, halved in each of its log2(HS_N_FFT) steps; cosines int32 Q30
 *   power             uint64, below 2^59
 *   energy of a band  uint16 weights, sums of 96 bits: all of its range is kept
 *   level             log2 of an energy, uint16 Q9 (0.006 dB)
 *   features          cosine transform and normalisation as one int16 matrix, int64 sums, rounded to int8
 *
 * The spectrum is a fast transform with a table of a quarter turn. The exported front end puts frames together from the
 * transforms of their hops, which suits matrix products: for 62 bins of 256 samples and five hops a frame that would be
 * three times the multiplications, three times the working memory, and either 50 times the table or an index to compute
 * for each of them.
 *
 * The RMS of the window is known at its end. It is a factor of all energies, hence something to subtract from their
 * logarithms, and the spectra need not wait for it.
 */
#include "hs_band_pass.h"
#include "hs_front_end.h"
#include "hs_tables_fixed.h"

#define HALF (HS_N_FFT / 2)
#define QUARTER (HS_N_FFT / 4)

#define MOST_SHIFT 12

static const int64_t ONE = (int64_t)1 << 30; /* Q30 */

/* high * 2^32 + low, for sums that outgrow 64 bits. */
typedef struct {
  uint64_t high;
  uint64_t low;
} wide;

static void add(wide *sum, uint64_t value, uint32_t weight) {
  sum->high += (value >> 32) * weight;
  sum->low += (value & 0xffffffffu) * weight;
}

/* log2(1 + i / 32), Q15. */
static const uint16_t LOG2[33] = {
    0, 1455, 2866, 4236, 5568, 6863, 8124, 9352, 10549, 11716, 12855, 13968, 15055, 16117, 17156, 18173,
    19168, 20143, 21098, 22034, 22952, 23852, 24736, 25604, 26455, 27292, 28114, 28922, 29717, 30498, 31267,
    32024, 32768};

/* log2 of a sum, Q9, 0 for a sum of 0. Straight lines between the table's values are at most 0.0006 dB below it. */
static uint16_t log2_q9(wide sum) {
  const uint64_t high = sum.high + (sum.low >> 32);
  const int large = high >> 31 != 0; /* then the lower 32 bits do not matter */
  uint64_t value = large ? high : high << 32 | (sum.low & 0xffffffffu);
  uint32_t exponent = large ? 63 + 32 : 63, step, index, rest, fraction;
  if (value == 0) return 0;
  for (step = 32; step > 0; step /= 2) {
    if (value >> (64 - step) == 0) {
      value <<= step;
      exponent -= step;
    }
  }
  fraction = (uint32_t)(value >> 32) & 0x7fffffffu; /* Q31, behind the leading one */
  index = fraction >> 26;
  rest = fraction >> 10 & 0xffffu;
  fraction = LOG2[index] + ((uint32_t)(LOG2[index + 1] - LOG2[index]) * rest >> 16);
  return (uint16_t)((exponent << 9) + ((fraction + 32) >> 6));
}

/* Of 2 pi index / HS_N_FFT, for up to half a turn, Q30. */
static int32_t cosine(int index) { return index <= QUARTER ? HS_COSINE[index] : -HS_COSINE[HALF - index]; }
static int32_t sine(int index) { return index <= QUARTER ? HS_COSINE[QUARTER - index] : HS_COSINE[index - QUARTER]; }

/* The frame that begins at place `first` of the ring, under Hann's window, and by how many bits it was shifted left.
 * Even samples are the real parts and odd ones the imaginary parts of HALF complex numbers, which takes half the work;
 * they come in the order of reversed bits. */
static int load(const int32_t frame[HS_N_FFT], int first, int32_t spectrum[HS_N_FFT]) {
  int32_t largest = 0;
  int i, bit, reversed = 0, shift = 0;
  for (i = 0; i < HS_N_FFT; i++) {
    if (frame[i] > largest) largest = frame[i];
    if (-frame[i] > largest) largest = -frame[i];
  }
  while (shift < MOST_SHIFT && largest < (int32_t)1 << (28 - shift)) shift++;
  for (i = 0; i < HS_N_FFT; i++) {
    const int32_t window = (int32_t)((ONE - cosine(i <= HALF ? i : HS_N_FFT - i)) / 2);
    const int64_t product = (int64_t)frame[(first + i) & (HS_N_FFT - 1)] * window;
    spectrum[2 * reversed + (i & 1)] = (int32_t)((product + (ONE >> (shift + 1))) >> (30 - shift));
    if (i & 1) {
      for (bit = HALF / 2; reversed & bit; bit /= 2) reversed ^= bit;
      reversed |= bit;
    }
  }
  return shift;
}

/* Cooley and Tukey's transform of the HALF complex numbers, in place, decimated in time. */
static void transform(int32_t spectrum[HS_N_FFT]) {
  int span, k, start;
  for (span = 1; span < HALF; span *= 2) {
    for (k = 0; k < span; k++) {
      const int32_t c = cosine(k * (HALF / span)), s = sine(k * (HALF / span));
      for (start = k; start < HALF; start += 2 * span) {
        int32_t *a = spectrum + 2 * start, *b = a + 2 * span;
        const int64_t real = (int64_t)b[0] * c + (int64_t)b[1] * s, imaginary = (int64_t)b[1] * c - (int64_t)b[0] * s;
        const int64_t a_real = a[0] * ONE + ONE, a_imaginary = a[1] * ONE + ONE; /* plus half a step */
        a[0] = (int32_t)((a_real + real) >> 31);
        a[1] = (int32_t)((a_imaginary + imaginary) >> 31);
        b[0] = (int32_t)((a_real - real) >> 31);
        b[1] = (int32_t)((a_imaginary - imaginary) >> 31);
      }
    }
  }
}

/* Power of bin k, 0 to HALF, over HS_N_FFT squared. */
static uint64_t power(const int32_t spectrum[HS_N_FFT], int k) {
  const int32_t *z = spectrum + 2 * (k % HALF), *mirrored = spectrum + 2 * ((HALF - k) % HALF);
  const int32_t c = cosine(k), s = sine(k);
  /* Twice the transform of the even samples, and of the odd ones. */
  const int32_t even_real = z[0] + mirrored[0], even_imaginary = z[1] - mirrored[1];
  const int32_t odd_real = z[1] + mirrored[1], odd_imaginary = mirrored[0] - z[0];
  const int64_t real = even_real * ONE + (int64_t)odd_real * c + (int64_t)odd_imaginary * s;
  const int64_t imaginary = even_imaginary * ONE + (int64_t)odd_imaginary * c - (int64_t)odd_real * s;
  const int64_t x = (real + 2 * ONE) >> 32, y = (imaginary + 2 * ONE) >> 32;
  return (uint64_t)(x * x + y * y);
}

/* Levels of a frame's bands, 0 where there is no energy; a frame that was not shifted is the louder. */
static void band_levels(hs_fixed_scratch *scratch, int shift, uint16_t level[HS_BANDS]) {
  const uint16_t *weight = HS_BAND_WEIGHTS;
  int bin, band;
  for (bin = 0; bin < HS_BINS; bin++) scratch->power[bin] = power(scratch->spectrum, HS_FIRST_BIN + bin);
  for (band = 0; band < HS_BANDS; band++) {
    const uint64_t *here = scratch->power + HS_BAND_FIRST[band];
    wide energy = {0, 0};
    for (bin = 0; bin < HS_BAND_BINS[band]; bin++) add(&energy, *here++, *weight++);
    level[band] = log2_q9(energy);
    if (level[band]) level[band] = (uint16_t)(level[band] + 2 * 512 * (MOST_SHIFT - shift));
  }
}

/* Level over that of unit RMS, Q9. */
static int32_t relative(uint16_t level, int32_t window_level) {
  const int32_t difference = level - 2 * 512 * MOST_SHIFT - window_level + HS_UNIT_LEVEL;
  return level == 0 || difference < HS_LOWEST_LEVEL ? HS_LOWEST_LEVEL : difference;
}

/* Band levels to features: the range below the highest one cut off, cosine transform, normalisation. */
static void finish(const hs_fixed_scratch *scratch, int32_t window_level, int8_t features[HS_FEATURES]) {
  int32_t highest = HS_LOWEST_LEVEL, levels[HS_BANDS];
  int t, band, k;
  for (t = 0; t < HS_FRAMES; t++) {
    for (band = 0; band < HS_BANDS; band++) {
      const int32_t level = relative(scratch->level[t][band], window_level);
      if (level > highest) highest = level;
    }
  }
  for (t = 0; t < HS_FRAMES; t++) {
    for (band = 0; band < HS_BANDS; band++) {
      const int32_t level = relative(scratch->level[t][band], window_level);
      levels[band] = level < highest - HS_RANGE ? highest - HS_RANGE : level;
    }
    for (k = 0; k < HS_COEFFICIENTS; k++) {
      int64_t sum = HS_BIAS[k];
#if HS_CEPSTRUM
      for (band = 0; band < HS_BANDS; band++) sum += (int64_t)HS_GAIN[k][band] * levels[band];
#else
      sum += (int64_t)HS_GAIN[k] * levels[k];
#endif
      sum >>= HS_GAIN_SHIFT[k];
      features[k * HS_FRAMES + t] = (int8_t)(sum < -128 ? -128 : sum > 127 ? 127 : sum);
    }
  }
}

void hs_features_fixed(const int16_t samples[HS_WINDOW], int8_t features[HS_FEATURES], hs_fixed_scratch *scratch) {
  wide squares = {0, 0};
  int32_t level, silence;
  int n, t = 0;
  hs_band_pass_begin(&scratch->band_pass, samples);
  for (n = 0; n < HS_N_FFT; n++) scratch->frame[n] = 0;
  /* Frame t is centred on sample t * HS_HOP_LENGTH; beyond both ends there are zeros. */
  for (n = 0; n < HS_WINDOW || t < HS_FRAMES; n++) {
    const int32_t filtered = n < HS_WINDOW ? hs_band_pass(&scratch->band_pass, samples[n]) : 0;
    add(&squares, (uint64_t)((int64_t)filtered * filtered), 1);
    scratch->frame[n & (HS_N_FFT - 1)] = filtered;
    if (t < HS_FRAMES && n + 1 == t * HS_HOP_LENGTH + HALF) {
      const int shift = load(scratch->frame, n + 1, scratch->spectrum);
      transform(scratch->spectrum);
      band_levels(scratch, shift, scratch->level[t++]);
    }
  }
  level = log2_q9(squares);
  silence = HS_SILENCE + 2 * 512 * (scratch->band_pass.fraction - HS_FRACTION);
  finish(scratch, level < silence ? silence : level, features);
}

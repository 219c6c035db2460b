/* The causal Butterworth band-pass of both front ends, in integers. It is the recursion whose impulse response the
 * exported front end convolves with: that has no feedback, but takes hundreds of multiplications a sample instead of
 * five a section.
 *
 * Qn is a real number times 2^n. Samples are int16; filtered ones are int32, Q(fraction) of one step of the samples.
 * The fraction is HS_FRACTION, with which no input at all makes filtered samples exceed 2^29, and more in a window that
 * does not use the range of int16. Second-order sections in direct form I: int32 coefficients Q30, int64 sums. What a
 * sum loses when it is cut to 32 bits is added to the next one, which takes the error away from low frequencies, where
 * poles close to the unit circle would amplify it.
 */
#ifndef HS_BAND_PASS_H
#define HS_BAND_PASS_H

#include "hs_front_end.h"
#include "hs_tables_band_pass.h"

/* C99 leaves it to the compiler what a right shift does to negative numbers; all that matter keep the sign. */
typedef char hs_right_shifts_keep_the_sign[((int32_t)-3 >> 1) == -2 ? 1 : -1];

static void hs_band_pass_begin(hs_band_pass_state *state, const int16_t samples[HS_WINDOW]) {
  int64_t total = 0;
  int32_t lowest = samples[0], highest = samples[0], span;
  int n, k;
  for (n = 0; n < HS_WINDOW; n++) {
    total += samples[n];
    if (samples[n] < lowest) lowest = samples[n];
    if (samples[n] > highest) highest = samples[n];
  }
  state->fraction = HS_FRACTION;
  for (span = highest - lowest; span > 0 && span < (int32_t)1 << 15; span *= 2) state->fraction++;
  state->mean = total * ((int64_t)1 << state->fraction) / HS_WINDOW;
  for (k = 0; k < HS_SECTIONS; k++) state->rest[k] = 0;
  for (k = 0; k <= HS_SECTIONS; k++) state->past[k][0] = state->past[k][1] = 0;
}

/* The next filtered sample. */
static int32_t hs_band_pass(hs_band_pass_state *state, int16_t sample) {
  int32_t value = (int32_t)(sample * ((int64_t)1 << state->fraction) - state->mean);
  int32_t(*past)[2] = state->past;
  int k;
  for (k = 0; k < HS_SECTIONS; k++, past++) {
    const int32_t *c = HS_BAND_PASS[k];
    int64_t sum = state->rest[k];
    sum += (int64_t)c[0] * value + (int64_t)c[1] * past[0][0] + (int64_t)c[2] * past[0][1];
    sum -= (int64_t)c[3] * past[1][0] + (int64_t)c[4] * past[1][1];
    past[0][1] = past[0][0];
    past[0][0] = value;
    value = (int32_t)(sum >> 30);
    state->rest[k] = (int32_t)(sum & 0x3fffffff);
  }
  past[0][1] = past[0][0];
  past[0][0] = value;
  return value;
}

#endif

// Kernels of error feedback for scalar formats: eight rows lie in the eight lanes, column after column. Included by
// CBlocks.h.
#ifndef CFEEDBACK_H
#define CFEEDBACK_H

// Columns of the widest sub-block.
#define CF_COLUMNS 32
// Candidates that are tried side by side: their chains of sums hide each other's latency.
#define CF_TRIALS 5

// t[c] = targets[c] - Σ e[i] u[i][c] over `count` rows of u, `stride` apart, for `columns` columns, a multiple of 8.
static inline void cf_feed(const void *targets, const void *errors, const float *u, long stride, long count,
                           long columns, void *t) {
  for (long c = 0; c < columns; c += 8) {
    cv_f32x8 s[8];
#pragma clang loop unroll(full)
    for (int k = 0; k < 8; k++) s[k] = cv_load((const char *)targets + 32 * (c + k));
    for (long i = 0; i < count; i++) {
      cv_f32x8 e = -cv_load((const char *)errors + 32 * i);
      const float *row = u + i * stride + c;
#pragma clang loop unroll(full)
      for (int k = 0; k < 8; k++) s[k] = cv_fma(e, cv_splat(row[k]), s[k]);
    }
#pragma clang loop unroll(full)
    for (int k = 0; k < 8; k++) cv_store((char *)t + 32 * (c + k), s[k]);
  }
}

// How a sub-block's column is rounded: v = step * level - offset, with whole levels from low to high or IQ4's.
typedef struct {
  float low;
  float high;
  int is_iq4;
} cf_levels;

// Σ pivots[j] e_j² of a sub-block that is rounded with error feedback in five ways. u[j] holds column j of the sub-block's
// unit upper factor, `columns` numbers a row. Candidate k: steps[k], offsets[k], eight rows each.
static inline void cf_trials(const void *targets, const float *u, const float *pivots, long columns, cf_levels levels,
                             const void *steps, const void *offsets, void *costs) {
  cv_f32x8 e[CF_COLUMNS][CF_TRIALS], step[CF_TRIALS], inverse[CF_TRIALS], bias[CF_TRIALS], offset[CF_TRIALS];
  cv_f32x8 cost[CF_TRIALS], zero = cv_splat(0), low = cv_splat(levels.low), high = cv_splat(levels.high);
  for (int k = 0; k < CF_TRIALS; k++) {
    step[k] = cv_load((const char *)steps + 32 * k);
    offset[k] = -cv_load((const char *)offsets + 32 * k);
    inverse[k] = cv_abs(step[k]) > cv_splat(0x1p-60f) ? cv_splat(1) / step[k] : zero;
    bias[k] = -offset[k] * inverse[k];
    cost[k] = zero;
  }
  for (long j = 0; j < columns; j++) {
    cv_f32x8 s[CF_TRIALS], t = cv_load((const char *)targets + 32 * j), pivot = cv_splat(pivots[j]);
    const float *row = u + j * columns;
#pragma clang loop unroll(full)
    for (int k = 0; k < CF_TRIALS; k++) s[k] = t;
    for (long i = 0; i < j; i++) {
      cv_f32x8 x = cv_splat(-row[i]);
#pragma clang loop unroll(full)
      for (int k = 0; k < CF_TRIALS; k++) s[k] = cv_fma(e[i][k], x, s[k]);
    }
    if (levels.is_iq4) {
#pragma clang loop unroll(full)
      for (int k = 0; k < CF_TRIALS; k++) {
        cv_f32x8 r = cv_fma(step[k], -cv_iq4_level(s[k] * inverse[k]), s[k]);
        e[j][k] = r;
        cost[k] = cv_fma(r * r, pivot, cost[k]);
      }
    } else {
#pragma clang loop unroll(full)
      for (int k = 0; k < CF_TRIALS; k++) {
        cv_f32x8 q = cv_clamp(cv_round(cv_fma(s[k], inverse[k], bias[k])), low, high);
        cv_f32x8 r = s[k] - cv_fma(step[k], q, offset[k]);
        e[j][k] = r;
        cost[k] = cv_fma(r * r, pivot, cost[k]);
      }
    }
  }
  for (int k = 0; k < CF_TRIALS; k++) cv_store((char *)costs + 32 * k, cost[k]);
}

// Rounds a sub-block with error feedback: writes errors, decoded values and levels, and returns Σ pivots[j] e_j².
// Values are rounded as decoders round them: the product, then the difference.
static inline cv_f32x8 cf_round(const void *targets, const float *u, const float *pivots, long columns,
                                cf_levels levels, cv_f32x8 step, cv_f32x8 offset, void *errors, void *values,
                                void *rounded) {
  cv_f32x8 zero = cv_splat(0), cost = zero, low = cv_splat(levels.low), high = cv_splat(levels.high);
  cv_f32x8 inverse = cv_abs(step) > cv_splat(0x1p-60f) ? cv_splat(1) / step : zero, bias = offset * inverse;
  cv_f32x8 e[CF_COLUMNS];
  for (long j = 0; j < columns; j++) {
    const float *row = u + j * columns;
    cv_f32x8 s[4] = {cv_load((const char *)targets + 32 * j), zero, zero, zero};
    long i = 0;
    for (; i + 4 <= j; i += 4) {
#pragma clang loop unroll(full)
      for (int k = 0; k < 4; k++) s[k] = cv_fma(e[i + k], cv_splat(-row[i + k]), s[k]);
    }
    for (; i < j; i++) s[0] = cv_fma(e[i], cv_splat(-row[i]), s[0]);
    cv_f32x8 t = s[0] + s[1];
    // Bounded, so that no sum becomes infinite however far a weight is from all levels.
    t = cv_clamp(t + (s[2] + s[3]), cv_splat(-0x1p30f), cv_splat(0x1p30f));
    cv_f32x8 level;
    if (levels.is_iq4) {
      level = cv_iq4_level(t * inverse);
    } else {
      level = cv_clamp(cv_round(cv_fma(t, inverse, bias)), low, high);
    }
    cv_f32x8 v = step * level;
    v = v - offset;
    e[j] = t - v;
    cost = cv_fma(e[j] * e[j], cv_splat(pivots[j]), cost);
    cv_store((char *)errors + 32 * j, e[j]);
    cv_store((char *)values + 32 * j, v);
    cv_store((char *)rounded + 32 * j, level);
  }
  return cost;
}

// Eight numbers rounded to halves; beyond these, the largest finite one.
CV cv_f32x8 cf_half(cv_f32x8 v) {
  uint16_t h[8];
  cv_store_f16(h, cv_clamp(v, cv_splat(-65504.0f), cv_splat(65504.0f)));
  return cv_load_f16(h);
}

#endif

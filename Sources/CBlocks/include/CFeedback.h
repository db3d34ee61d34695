// Kernels of error feedback for scalar formats: eight rows lie in the eight lanes, column after column. Included by
// CBlocks.h.
#ifndef CFEEDBACK_H
#define CFEEDBACK_H

// Columns of the widest sub-block.
#define CF_COLUMNS 128
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
        cv_f32x8 r = s[k] - cv_fma(step[k], cv_iq4_level(s[k] * inverse[k]), offset[k]);
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

// The level of IQ4 with an index from 0 to 15.
CV cv_f32x8 cf_iq4_at(cv_f32x8 index) {
  cv_f32x8 low = {-127, -104, -83, -65, -49, -35, -22, -10}, high = {1, 13, 25, 38, 53, 69, 89, 113};
  cv_i32x8 i = cv_to_i32(index);
  return i < 8 ? cv_lookup8(low, i) : cv_lookup8(high, i - 8);
}

// Paths that the search keeps. Eight find a few percent less error where columns are correlated, and take twice as long.
#define CF_PATHS 4
typedef struct {
  cv_f32x8 cost, error, level;
  cv_i32x8 parent;
} cf_child;
// The cheaper of two comes first.
CV void cf_order(cf_child *a, cf_child *b) {
  cv_i32x8 swap = b->cost < a->cost;
  cf_child x = *a, y = *b;
  a->cost = swap ? y.cost : x.cost, b->cost = swap ? x.cost : y.cost;
  a->error = swap ? y.error : x.error, b->error = swap ? x.error : y.error;
  a->level = swap ? y.level : x.level, b->level = swap ? x.level : y.level;
  a->parent = swap ? y.parent : x.parent, b->parent = swap ? x.parent : y.parent;
}
CV void cf_sort(cf_child c[CF_PATHS]) {
  cf_order(c, c + 1), cf_order(c + 2, c + 3), cf_order(c, c + 2), cf_order(c + 1, c + 3), cf_order(c + 1, c + 2);
}

// Levels of a sub-block that cost less than those of rounding column after column: of the paths through all columns that
// take the nearest or the second nearest level at each, the cheapest so far are kept.
static inline void cf_search(const void *targets, const float *u, const float *pivots, long columns, cf_levels levels,
                             cv_f32x8 step, cv_f32x8 offset, void *rounded) {
  cv_f32x8 zero = cv_splat(0), one = cv_splat(1), low = cv_splat(levels.low), high = cv_splat(levels.high);
  cv_f32x8 infinite = cv_splat(__builtin_inff()), top = cv_splat(0x1p30f);
  cv_f32x8 inverse = cv_abs(step) > cv_splat(0x1p-60f) ? one / step : zero, bias = offset * inverse;
  cv_f32x8 t[CF_COLUMNS][CF_PATHS], level[CF_COLUMNS][CF_PATHS], cost[CF_PATHS];
  cv_i32x8 parent[CF_COLUMNS][CF_PATHS];
  for (int m = 0; m < CF_PATHS; m++) cost[m] = m ? infinite : zero;
  for (long j = 0; j < columns; j++) {
    for (int m = 0; m < CF_PATHS; m++) t[j][m] = cv_load((const char *)targets + 32 * j);
  }
  for (long j = 0; j < columns; j++) {
    cf_child near[CF_PATHS], far[CF_PATHS];
    cv_f32x8 pivot = cv_splat(pivots[j]);
    for (int m = 0; m < CF_PATHS; m++) {
      cv_f32x8 x = cv_clamp(t[j][m], -top, top), scaled = cv_fma(x, inverse, bias), first, second;
      if (levels.is_iq4) {
        cv_f32x8 index = cv_iq4_index(scaled);
        first = cf_iq4_at(index);
        cv_f32x8 next = scaled > first ? index + 1 : index - 1;
        second = cf_iq4_at(cv_clamp(next, zero, cv_splat(15)));
      } else {
        first = cv_clamp(cv_round(scaled), low, high);
        second = cv_clamp(scaled > first ? first + 1 : first - 1, low, high);
      }
      cv_f32x8 e = x - cv_fma(step, first, -offset), f = x - cv_fma(step, second, -offset);
      near[m] = (cf_child){cv_fma(e * e, pivot, cost[m]), e, first, (cv_i32x8)m};
      cv_f32x8 other = cv_fma(f * f, pivot, cost[m]);
      far[m] = (cf_child){second == first ? infinite : other, f, second, (cv_i32x8)m};
    }
    cf_sort(near);
    cf_sort(far);
    // In two sorted lists, the lesser of each element and its opposite are the lowest half.
    for (int m = 0; m < CF_PATHS; m++) {
      cf_child a = near[m], b = far[CF_PATHS - 1 - m];
      cv_i32x8 takes = b.cost < a.cost;
      cost[m] = takes ? b.cost : a.cost;
      near[m].error = takes ? b.error : a.error;
      level[j][m] = takes ? b.level : a.level;
      parent[j][m] = takes ? b.parent : a.parent;
    }
    for (long k = j + 1; k < columns; k++) {
      cv_f32x8 x = cv_splat(-u[k * columns + j]), old[CF_PATHS];
      for (int m = 0; m < CF_PATHS; m++) old[m] = t[k][m];
      for (int m = 0; m < CF_PATHS; m++) {
        cv_f32x8 from = old[0];
        for (int p = 1; p < CF_PATHS; p++) from = parent[j][m] == p ? old[p] : from;
        t[k][m] = cv_fma(near[m].error, x, from);
      }
    }
  }
  cv_i32x8 path = (cv_i32x8)0;
  cv_f32x8 least = cost[0];
  for (int m = 1; m < CF_PATHS; m++) {
    path = cost[m] < least ? (cv_i32x8)m : path;
    least = cost[m] < least ? cost[m] : least;
  }
  for (long j = columns - 1; j >= 0; j--) {
    cv_f32x8 chosen = level[j][0];
    cv_i32x8 before = parent[j][0];
    for (int m = 1; m < CF_PATHS; m++) {
      chosen = path == m ? level[j][m] : chosen;
      before = path == m ? parent[j][m] : before;
    }
    cv_store((char *)rounded + 32 * j, chosen);
    path = before;
  }
}

// Rounds a sub-block with error feedback, to the nearest levels or (`are_given`) to those in `rounded`. Writes errors,
// decoded values and levels, and returns Σ pivots[j] e_j². Values are rounded as decoders round them: the product, then the
// difference.
static inline cv_f32x8 cf_round(const void *targets, const float *u, const float *pivots, long columns,
                                cf_levels levels, cv_f32x8 step, cv_f32x8 offset, int are_given, void *errors,
                                void *values, void *rounded) {
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
    if (are_given) {
      level = cv_load((char *)rounded + 32 * j);
    } else if (levels.is_iq4) {
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
// The same for bfloat16.
CV cv_f32x8 cf_bf16(cv_f32x8 v) {
  uint16_t h[8];
  cv_store_bf16(h, v);
  return cv_load_bf16(h);
}

#endif

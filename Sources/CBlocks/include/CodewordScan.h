// The search of a codebook in a full metric M. A codeword m with signs s costs a target x
//   (x - s m)' M (x - s m) = x'Mx + q - 2 (Mx)' (s m)    with q = (s m)' M (s m).
// q depends on the codeword and the signs alone, so that it is summed once for all rows; a scan adds the linear part, one
// product a coordinate. Codewords fill the lanes, 32 at a time.
#ifndef CODEWORD_SCAN_H
#define CODEWORD_SCAN_H

#include "CVectors.h"

#define CV static inline __attribute__((always_inline))

// Σ x[i] rows[i], where rows have eight numbers.
CV cv_f32x8 cv_times_rows(const float *x, const float *rows, long count) {
  cv_f32x8 sum = cv_splat(x[0]) * cv_load(rows);
  for (long i = 1; i < count; i++) sum = cv_fma(cv_splat(x[i]), cv_load(rows + 8 * i), sum);
  return sum;
}
// y -= Σ x[i] rows[i] for numbers `from` (a multiple of 8) to `to`; rows lie `stride` apart.
CV void cv_subtract_rows(float *y, const float *x, long count, const float *rows, long stride, long from, long to) {
  for (long k = from; k < to; k += 8) {
    cv_f32x8 sum = cv_load(y + k);
    for (long i = 0; i < count; i++) sum = cv_fma(cv_splat(-x[i]), cv_load(rows + i * stride + k), sum);
    cv_store(y + k, sum);
  }
}

// t = v + g inv(H) with inv(H) = U' inv(D) U, U unit upper triangular with `count` rows and columns. Returns g inv(H) g'.
CV float cv_solve(const float *g, const float *u, const float *d, long count, const float *v, float *t) {
  cv_f32x8 cost = cv_splat(0);
  float z[32];
  for (long i = 0; i < count; i++) {
    cv_f32x8 sum = cv_splat(0);
    for (long k = i & ~7; k < count; k += 8) sum = cv_fma(cv_load(g + k), cv_load(u + i * count + k), sum);
    z[i] = cv_sum(sum);
  }
  for (long k = 0; k < count; k += 8) {
    cv_f32x8 x = cv_load(z + k), y = x / cv_load(d + k);
    cost = cv_fma(x, y, cost);
    cv_store(z + k, y);
  }
  for (long k = 0; k < count; k += 8) {
    cv_f32x8 sum = cv_load(v + k);
    for (long i = 0; i < k + 8; i++) sum = cv_fma(cv_splat(z[i]), cv_load(u + i * count + k), sum);
    cv_store(t + k, sum);
  }
  return cv_sum(cost);
}

// The front half of one vector, the back half of another.
CV cv_f32x8 cv_front(cv_f32x8 a, cv_f32x8 b) { return __builtin_shufflevector(a, b, 0, 1, 2, 3, 12, 13, 14, 15); }

// The indices of the two lowest of eight numbers, the first among equals.
typedef struct {
  int32_t first, second;
} cv_two;
CV cv_two cv_two_lowest(cv_f32x8 v) {
  float x[8], low = __builtin_inff(), next = low;
  cv_two r = {0, 0};
  memcpy(x, &v, sizeof x);
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; i++) {
    int lower = x[i] < low, lower2 = x[i] < next;
    next = lower ? low : lower2 ? x[i] : next;
    r.second = lower ? r.first : lower2 ? i : r.second;
    low = lower ? x[i] : low;
    r.first = lower ? i : r.first;
  }
  return r;
}

// Costs of 32 codewords from index e on under one or two sign patterns: q + Σ c m. The second pattern differs from the
// first in one coordinate or two, whose parts change by f m.
typedef struct {
  const float *m;  // [coordinate][count]
  long count;
  const float *q0, *q1;  // [count]
  const float *c;
  long i, j;
  float fi, fj;
} cv_scan;

CV void cv_scan_costs(const cv_scan *s, int dims, int flips, long e, cv_f32x8 *cost) {
  cv_f32x8 a[4], c = cv_splat(s->c[0]);
#pragma clang loop unroll(full)
  for (int v = 0; v < 4; v++) a[v] = c * cv_load(s->m + e + 8 * v);
#pragma clang loop unroll(full)
  for (int i = 1; i < dims; i++) {
    const float *m = s->m + i * s->count + e;
    c = cv_splat(s->c[i]);
#pragma clang loop unroll(full)
    for (int v = 0; v < 4; v++) a[v] = cv_fma(c, cv_load(m + 8 * v), a[v]);
  }
#pragma clang loop unroll(full)
  for (int v = 0; v < 4; v++) cost[v] = a[v] + cv_load(s->q0 + e + 8 * v);
  if (flips == 0) return;
  c = cv_splat(s->fi);
#pragma clang loop unroll(full)
  for (int v = 0; v < 4; v++) a[v] = cv_fma(c, cv_load(s->m + s->i * s->count + e + 8 * v), a[v]);
  if (flips == 2) {
    c = cv_splat(s->fj);
#pragma clang loop unroll(full)
    for (int v = 0; v < 4; v++) a[v] = cv_fma(c, cv_load(s->m + s->j * s->count + e + 8 * v), a[v]);
  }
#pragma clang loop unroll(full)
  for (int v = 0; v < 4; v++) cost[4 + v] = a[v] + cv_load(s->q1 + e + 8 * v);
}

CV cv_f32x8 cv_lesser_of(cv_f32x8 a, cv_f32x8 b) { return a < b ? a : b; }

// The codeword of lowest cost; `code` is its index, plus 2^16 under the second pattern. `count` is a multiple of 32.
// Costs are numbers.
typedef struct {
  float cost;
  int32_t code;
} cv_codeword;

CV cv_codeword cv_scan_lowest(const cv_scan *s, int dims, int flips) {
  cv_f32x8 low = cv_splat(__builtin_inff()), cost[8];
  cv_i32x8 at = (cv_i32x8)0;
  for (long e = 0; e < s->count; e += 32) {
    cv_scan_costs(s, dims, flips, e, cost);
    cv_f32x8 m = cv_lesser_of(cv_lesser_of(cost[0], cost[1]), cv_lesser_of(cost[2], cost[3]));
    if (flips > 0) {
      m = cv_lesser_of(m, cv_lesser_of(cv_lesser_of(cost[4], cost[5]), cv_lesser_of(cost[6], cost[7])));
    }
    // Offsets rise, so that the largest is the last that lowered the minimum.
    cv_i32x8 lower = (m < low) & (cv_i32x8)(int32_t)e;
    at = at > lower ? at : lower;
    low = cv_lesser_of(m, low);
  }
  float least = __builtin_reduce_min(low);
  cv_i32x8 where = low == cv_splat(least) ? at : (cv_i32x8)INT32_MAX;
  int32_t e = __builtin_reduce_min(where);
  if (e == INT32_MAX) e = 0;
  cv_scan_costs(s, dims, flips, e, cost);
  cv_i32x8 found = (cv_i32x8)INT32_MAX, lane = {0, 1, 2, 3, 4, 5, 6, 7};
#pragma clang loop unroll(full)
  for (int v = flips > 0 ? 7 : 3; v >= 0; v--) {
    cv_i32x8 code = lane + (8 * (v & 3) + (v > 3 ? 1 << 16 : 0));
    found = cost[v] == cv_splat(least) ? code : found;
  }
  int32_t code = __builtin_reduce_min(found);
  return (cv_codeword){least, (code == INT32_MAX ? 0 : code) + e};
}

// Coordinates: eight or four with signs, of which two or one change under the second pattern; eight and a constant, the
// shift of IQ1, which changes or is left out.
static inline cv_codeword cv_scan8_two(const cv_scan *s) { return cv_scan_lowest(s, 8, 2); }
static inline cv_codeword cv_scan8_one(const cv_scan *s) { return cv_scan_lowest(s, 8, 1); }
static inline cv_codeword cv_scan8(const cv_scan *s) { return cv_scan_lowest(s, 8, 0); }
static inline cv_codeword cv_scan9_one(const cv_scan *s) { return cv_scan_lowest(s, 9, 1); }
static inline cv_codeword cv_scan4_two(const cv_scan *s) { return cv_scan_lowest(s, 4, 2); }
static inline cv_codeword cv_scan4_one(const cv_scan *s) { return cv_scan_lowest(s, 4, 1); }

// out[e] = g' M g for 8 codewords g = s m from index e on; M is [dims][8], of which the upper triangle is read.
CV cv_f32x8 cv_quadratic(const float *m, long count, int dims, const float *metric, const float *signs, float shift, long e) {
  cv_f32x8 g[8], sum = cv_splat(0);
  for (int i = 0; i < dims; i++) g[i] = (cv_load(m + i * count + e) + cv_splat(shift)) * cv_splat(signs[i]);
  for (int i = 0; i < dims; i++) {
    cv_f32x8 part = cv_splat(metric[8 * i + i] * 0.5f) * g[i];
    for (int j = i + 1; j < dims; j++) part = cv_fma(cv_splat(metric[8 * i + j]), g[j], part);
    sum = cv_fma(part, g[i] + g[i], sum);
  }
  return sum;
}
static inline void cv_quadratics(
    const float *m, long count, long dims, const float *metric, const float *signs, float shift, float *out) {
  if (dims == 8) {
    for (long e = 0; e < count; e += 8) cv_store(out + e, cv_quadratic(m, count, 8, metric, signs, shift, e));
  } else {
    for (long e = 0; e < count; e += 8) cv_store(out + e, cv_quadratic(m, count, 4, metric, signs, shift, e));
  }
}

#undef CV
#endif

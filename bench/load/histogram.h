/*
 * histogram: how long things took, in constant memory and without losing the tail.
 *
 * Log-linear: values below 64 have a bucket each; above, every power of two is split into 64 equal
 * buckets, so a quantile is never more than 1/64 above the value that was added. Any uint64_t fits.
 */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H

#include <stdint.h>

#define LOAD_HISTOGRAM_PARTS_LOG2 6
#define LOAD_HISTOGRAM_PARTS      (1U << LOAD_HISTOGRAM_PARTS_LOG2)
#define LOAD_HISTOGRAM_BUCKETS    ((64 - LOAD_HISTOGRAM_PARTS_LOG2 + 1) * LOAD_HISTOGRAM_PARTS)

/* All zero is an empty one. */
struct load_histogram {
    uint64_t buckets[LOAD_HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t max;
};

/* The bucket a value falls into, and the lowest and highest value of a bucket. */
unsigned load_histogram_bucket(uint64_t value);
uint64_t load_histogram_low(unsigned bucket);
uint64_t load_histogram_high(unsigned bucket);

void load_histogram_add(struct load_histogram *histogram, uint64_t value);
void load_histogram_merge(struct load_histogram *into, const struct load_histogram *from);

/*
 * The value that `share` (0 to 1) of all values do not exceed: the top of its bucket, but never
 * more than the highest value added. 0 when nothing was added.
 */
uint64_t load_histogram_quantile(const struct load_histogram *histogram, double share);

#endif

#include "load/histogram.h"

#define PARTS LOAD_HISTOGRAM_PARTS

unsigned load_histogram_bucket(uint64_t value)
{
    if (value < PARTS) {
        return (unsigned)value;
    }
    unsigned shift = 63U - (unsigned)__builtin_clzll(value) - LOAD_HISTOGRAM_PARTS_LOG2;
    return shift * PARTS + (unsigned)(value >> shift);
}

uint64_t load_histogram_low(unsigned bucket)
{
    if (bucket < 2 * PARTS) {
        return bucket;
    }
    unsigned shift = bucket / PARTS - 1;
    return (uint64_t)(bucket % PARTS + PARTS) << shift;
}

uint64_t load_histogram_high(unsigned bucket)
{
    return bucket + 1 < LOAD_HISTOGRAM_BUCKETS ? load_histogram_low(bucket + 1) - 1 : UINT64_MAX;
}

void load_histogram_add(struct load_histogram *histogram, uint64_t value)
{
    histogram->buckets[load_histogram_bucket(value)]++;
    histogram->count++;
    if (value > histogram->max) {
        histogram->max = value;
    }
}

void load_histogram_merge(struct load_histogram *into, const struct load_histogram *from)
{
    for (unsigned i = 0; i < LOAD_HISTOGRAM_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
    into->count += from->count;
    if (from->max > into->max) {
        into->max = from->max;
    }
}

uint64_t load_histogram_quantile(const struct load_histogram *histogram, double share)
{
    if (histogram->count == 0) {
        return 0;
    }
    /* The rank, counted from 1 and rounded up, so that p99 of 10 values is the tenth. */
    double exact = share * (double)histogram->count;
    uint64_t rank = (uint64_t)exact;
    rank += (double)rank < exact || rank == 0 ? 1 : 0;
    uint64_t seen = 0;
    for (unsigned i = 0; i < LOAD_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank) {
            uint64_t high = load_histogram_high(i);
            return high < histogram->max ? high : histogram->max;
        }
    }
    return histogram->max;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Logarithmic buckets: see load_histogram.h. */
#include "load_histogram.h"

enum { SUB = 1 << HISTOGRAM_SUB_BITS };

static unsigned bucket_of(uint64_t value)
{
        if (value < SUB)
                return (unsigned)value;

        unsigned shift = 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;

        return ((shift + 1) << HISTOGRAM_SUB_BITS) + (unsigned)(value >> shift) - SUB;
}

static uint64_t upper_bound(unsigned bucket)
{
        if (bucket < SUB)
                return bucket;

        unsigned shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;

        return (((uint64_t)(bucket % SUB) + SUB + 1) << shift) - 1;
}

void histogram_add(struct histogram *self, uint64_t value)
{
        if (!self->count || value < self->min)
                self->min = value;
        if (value > self->max)
                self->max = value;
        self->count++;
        self->sum += (double)value;
        self->buckets[bucket_of(value)]++;
}

uint64_t histogram_percentile(const struct histogram *self, double part)
{
        uint64_t rank = (uint64_t)(part * (double)self->count), seen = 0;

        for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
                seen += self->buckets[i];
                if (seen > rank)
                        return upper_bound(i) < self->max ? upper_bound(i) : self->max;
        }
        return self->max;
}

void histogram_print(const struct histogram *self, FILE *out)
{
        static const struct {
                const char *name;
                double part;
        } points[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p999", 0.999 } };

        fprintf(out, "{\"count\": %llu, \"min\": %.1f, \"mean\": %.1f", (unsigned long long)self->count,
                (double)self->min / 1e3, self->count ? self->sum / (double)self->count / 1e3 : 0.0);
        for (unsigned i = 0; i < sizeof(points) / sizeof(points[0]); i++)
                fprintf(out, ", \"%s\": %.1f", points[i].name,
                        (double)histogram_percentile(self, points[i].part) / 1e3);
        fprintf(out, ", \"max\": %.1f}", (double)self->max / 1e3);
}

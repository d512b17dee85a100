/* A port of the CUBA neuron, as `lavadl-ref vectors --check ./cuba --text --family CUBA` asks it: plain text in,
 * plain text out, no parser, no library but the standard one. docs/rtl.md describes the text. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LANES 64

static int loihi; /* whether the device's widths are on */
static int lanes;
static int64_t bias[LANES], current_decay[LANES], voltage_decay[LANES], threshold[LANES], exponent[LANES];
static int64_t current[LANES], voltage[LANES];

/* The records whose numbers are kept, one for each lane. */
static const struct {
    const char *name;
    int64_t *values;
} KEPT[] = {
    {"parameter.bias", bias},
    {"parameter.current_decay", current_decay},
    {"parameter.voltage_decay", voltage_decay},
    {"parameter.threshold", threshold},
    {"parameter.exponent", exponent},
    {"state.current", current},
    {"state.voltage", voltage},
};

/* x * (1 - decay / 4096), rounded toward zero, as C divides. */
static int64_t leak(int64_t x, int64_t decay)
{
    return x * (4096 - decay) / 4096;
}

/* Two's complement of 32 bits. */
static int64_t wrap32(int64_t x)
{
    return (int64_t)((uint32_t)x ^ UINT32_C(0x80000000)) - INT64_C(0x80000000);
}

static int64_t clip24(int64_t x)
{
    const int64_t most = (1 << 23) - 1;
    return x > most ? most : x < -most ? -most : x;
}

/* One step of a neuron; 1 where it spikes. */
static int step(int i, int64_t input)
{
    int64_t u = leak(current[i], current_decay[i]) + input, drive, w;
    if (loihi) {
        u = wrap32(u);
        u = u > 1 << 23 ? u - (1 << 24) : u;
        u = u <= -(1 << 23) ? u + (1 << 24) : u;
    }
    drive = u + bias[i];
    drive = exponent[i] > 0 ? drive / ((int64_t)1 << exponent[i]) : drive * ((int64_t)1 << -exponent[i]);
    w = leak(voltage[i], voltage_decay[i]) + drive;
    if (loihi) {
        w = clip24(wrap32(w));
    }
    current[i] = u;
    voltage[i] = w > threshold[i] ? 0 : w;
    return w > threshold[i];
}

static int64_t number(void)
{
    int64_t value;
    if (scanf("%" SCNd64, &value) != 1) {
        fprintf(stderr, "a number must come next\n");
        exit(2);
    }
    return value;
}

static void run(int64_t steps)
{
    int64_t input[LANES];
    int spike[LANES];
    while (steps-- > 0) {
        for (int i = 0; i < lanes; i++) {
            input[i] = number();
        }
        for (int i = 0; i < lanes; i++) {
            spike[i] = step(i, input[i]);
        }
        for (int i = 0; i < lanes; i++) {
            printf("%d ", spike[i]);
        }
        for (int i = 0; i < lanes; i++) {
            printf("%" PRId64 " ", current[i]);
        }
        for (int i = 0; i < lanes; i++) {
            printf("%" PRId64 "%s", voltage[i], i + 1 < lanes ? " " : "\n");
        }
    }
    fflush(stdout); /* the next piece comes when this one was answered */
}

int main(void)
{
    char name[64], word[64];
    int count;
    while (scanf("%63s %d", name, &count) == 2) {
        int64_t *values = NULL;
        for (size_t k = 0; k < sizeof KEPT / sizeof *KEPT; k++) {
            values = strcmp(name, KEPT[k].name) == 0 ? KEPT[k].values : values;
        }
        if (strcmp(name, "run") == 0) {
            run(number());
        } else if (strcmp(name, "lanes") == 0) {
            lanes = (int)number();
            if (lanes < 1 || lanes > LANES) {
                fprintf(stderr, "lanes must be 1 to %d, got %d\n", LANES, lanes);
                return 2;
            }
        } else if (values != NULL) {
            for (int i = 0; i < count; i++) {
                values[i < LANES ? i : 0] = number();
            }
        } else {
            for (int i = 0; i < count && scanf("%63s", word) == 1; i++) {
                loihi = strcmp(name, "widths") == 0 ? strcmp(word, "loihi") == 0 : loihi;
            }
        }
    }
    return 0;
}

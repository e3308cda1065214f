// One stream of a model for callers that know no C++, such as a page's JavaScript (sharing/static/engine.js).
//
// Functions that return an int return 0, or -1 where ww_error() tells in one line what is wrong. In WebAssembly they throw
// that line to JavaScript instead (engine/wasm/exceptions.cpp). A player belongs to one thread.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ww_player ww_player;

// A player begins empty. It is told the model's fields (config.hpp) and weights, and then opened. Two more fields say how
// codes become amplitudes: "encoding" is "linear" or "mu-law", and "emphasis" is a number from 0 to below 1.
ww_player* ww_new(void);
void ww_delete(ww_player* player);
const char* ww_error(const ww_player* player);
int ww_set_flag(ww_player* player, const char* name, int value);
int ww_set_number(ww_player* player, const char* name, double value);
int ww_set_numbers(ww_player* player, const char* name, const double* values, size_t count);
int ww_set_text(ww_player* player, const char* name, const char* value);
// Returns room for a weight's values, rows first, which last until ww_open. Null is a failure.
float* ww_add_weight(ww_player* player, const char* name, const size_t* shape, size_t rank);
// Opens the model. The precision is "float32", "bfloat16" or "int8". A player that failed to open can only be deleted.
int ww_open(ww_player* player, const char* model, const char* precision);

// Goes to the beginning, after endless silence. The Philox key (2) decides the draws.
int ww_reset(ww_player* player, const uint64_t* key);
// An event of the keyboard: a release (0), a strike (1) or the pedal (2). See Event in engine.hpp.
int ww_feed(ww_player* player, double sample, int kind, int key, int value);
// Makes so many amplitudes in [-1, 1]. dense: see Engine.
int ww_generate(ww_player* player, size_t count, double temperature, double top_p, const float* dense,
                size_t dense_count, float* amplitudes);

// All that the stream remembers, as so many bytes.
size_t ww_state_size(const ww_player* player);
int ww_save(const ww_player* player, uint8_t* state);
int ww_restore(ww_player* player, const uint8_t* state, size_t size);

#ifdef __cplusplus
}
#endif

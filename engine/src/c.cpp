#include "wavewright/c.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <list>
#include <memory>
#include <string>

#include "codes.hpp"
#include "wavewright/engine.hpp"

using namespace wavewright;

struct ww_player {
    Config config;
    std::list<std::vector<float>> values;  // of the weights
    Weights weights;
    std::unique_ptr<Engine> engine;
    std::vector<double> amplitudes;  // what each code stands for
    double emphasis = 0;
    double last = 0;  // amplitude, which the next one continues with emphasis
    std::vector<std::int32_t> codes;
    mutable std::string error;

    Engine& open() const {
        if (!engine) throw Error("player: no model is open; open one first");
        return *engine;
    }
};

namespace {

template <class Work>
int attempt(const ww_player* player, Work work) {
    try {
        work();
        return 0;
    } catch (const std::exception& error) {
        player->error = error.what();
        return -1;
    }
}

constexpr double kMostWhole = 1 << 30;

bool is_whole(double value) { return std::abs(value) <= kMostWhole && value == std::floor(value); }

std::vector<double> amplitudes_of(const Config& config) {
    const int levels = config.size("q_levels");
    const std::string& encoding = config.text("encoding");
    if (encoding != "linear" && encoding != "mu-law")
        throw Error("encoding: '" + encoding + "'; give linear or mu-law");
    std::vector<double> amplitudes;
    for (int code = 0; code < levels; code++)
        amplitudes.push_back(encoding == "linear" ? (2.0 * code + 1.0) / levels - 1.0 : mu_law(code, levels));
    return amplitudes;
}

// As quantize.py decodes.
float decode(ww_player& player, std::int32_t code) {
    player.last = player.amplitudes[code] + player.emphasis * player.last;
    return static_cast<float>(std::clamp(player.last, -1.0, 1.0));
}

void check_fits(std::size_t size, std::size_t values) {
    if (size && values > PTRDIFF_MAX / sizeof(float) / size) throw Error("shape: more values than fit into memory");
}

}  // namespace

ww_player* ww_new() { return new ww_player(); }

void ww_delete(ww_player* player) { delete player; }

const char* ww_error(const ww_player* player) { return player->error.c_str(); }

int ww_set_flag(ww_player* player, const char* name, int value) {
    return attempt(player, [&] { player->config.fields[name] = value != 0; });
}

int ww_set_number(ww_player* player, const char* name, double value) {
    return attempt(player, [&] {
        if (is_whole(value))
            player->config.fields[name] = static_cast<std::int64_t>(value);
        else
            player->config.fields[name] = value;
    });
}

int ww_set_numbers(ww_player* player, const char* name, const double* values, size_t count) {
    return attempt(player, [&] {
        if (std::all_of(values, values + count, is_whole))
            player->config.fields[name] = std::vector<int>(values, values + count);
        else
            player->config.fields[name] = std::vector<double>(values, values + count);
    });
}

int ww_set_text(ww_player* player, const char* name, const char* value) {
    return attempt(player, [&] { player->config.fields[name] = std::string(value); });
}

float* ww_add_weight(ww_player* player, const char* name, const size_t* shape, size_t rank) {
    float* room = nullptr;
    attempt(player, [&] {
        std::size_t size = 1;
        for (std::size_t i = 0; i < rank; i++) {
            check_fits(shape[i], size);
            size *= shape[i];
        }
        room = player->values.emplace_back(size).data();
        player->weights[name] = {room, std::vector<std::size_t>(shape, shape + rank)};
    });
    return room;
}

int ww_open(ww_player* player, const char* model, const char* precision) {
    return attempt(player, [&] {
        player->config.model = model;
        player->amplitudes = amplitudes_of(player->config);
        player->emphasis = player->config.number("emphasis");
        if (!(player->emphasis >= 0 && player->emphasis < 1)) throw Error("emphasis: give 0 or more, and less than 1");
        const std::vector<Source> sources{{player->config, player->weights, precision_of(precision)}};
        player->engine = std::make_unique<Engine>(sources, Engine::Options{});
        player->weights.clear();
        player->values.clear();
    });
}

int ww_reset(ww_player* player, const uint64_t* key) {
    return attempt(player, [&] {
        player->open().reset({key, 2});
        player->last = 0;
    });
}

int ww_feed(ww_player* player, double sample, int kind, int key, int value) {
    return attempt(player, [&] {
        if (!(sample >= 0 && sample < 0x1p53)) throw Error("sample: give a whole number of 0 or more");
        if (kind < 0 || kind > 2) throw Error("kind: " + std::to_string(kind) + "; give 0, 1 or 2");
        const Event event{static_cast<std::int64_t>(sample), static_cast<EventKind>(kind),
                          static_cast<std::uint16_t>(key), static_cast<std::uint16_t>(value)};
        player->open().feed(0, {&event, 1});
    });
}

int ww_generate(ww_player* player, size_t count, double temperature, double top_p, const float* dense,
                size_t dense_count, float* amplitudes) {
    return attempt(player, [&] {
        Engine& engine = player->open();
        const int top_k = engine.q_levels();
        player->codes.resize(count);
        engine.generate({{&temperature, 1}, {&top_k, 1}, {&top_p, 1}}, player->codes, {dense, dense_count});
        for (std::size_t i = 0; i < count; i++) amplitudes[i] = decode(*player, player->codes[i]);
    });
}

size_t ww_state_size(const ww_player* player) {
    return player->engine ? player->engine->state_size() + sizeof player->last : 0;
}

int ww_save(const ww_player* player, uint8_t* state) {
    return attempt(player, [&] {
        std::memcpy(state, &player->last, sizeof player->last);
        player->open().save(std::as_writable_bytes(std::span(state, ww_state_size(player))).subspan(sizeof player->last));
    });
}

int ww_restore(ww_player* player, const uint8_t* state, size_t size) {
    return attempt(player, [&] {
        double last = 0;
        if (size < sizeof last) throw Error("state: damaged; save it again");
        std::memcpy(&last, state, sizeof last);
        if (!std::isfinite(last)) throw Error("state: damaged; save it again");
        player->open().restore(std::as_bytes(std::span(state, size)).subspan(sizeof last));
        player->last = last;
    });
}

// Engines that play the sample models, one of them or a mixture of two.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sample_models.hpp"

namespace wavewright {

inline std::vector<std::uint64_t> keys(int streams) {
    std::vector<std::uint64_t> all;
    for (int i = 0; i < 2 * streams; i++) all.push_back(1000 + i);
    return all;
}

inline bool is_conditioned(const Model& model) { return model.config.fields.contains("condition_hop"); }

// What an engine plays: one model, or two that are mixed.
struct Voices {
    std::vector<Model> models;

    std::string name() const { return models[0].name + (models.size() > 1 ? " with " + models[1].name : ""); }
    std::vector<Source> sources(Precision precision) const {
        std::vector<Source> all;
        for (const Model& model : models) all.push_back({model.config, model.weights, precision});
        return all;
    }
};

struct Player : Engine {
    const Voices& voices;
    std::vector<double> amount;  // empty for one voice

    Player(const Voices& voices, Precision precision, const Options& options)
        : Engine(voices.sources(precision), options), voices(voices), amount(voices.models.size() - 1, 0.4) {}
};

// Resets the engine and, for a model with a condition, gives its controls: keys that are struck every few samples, and
// a number, another for each voice. Stream 0 does not depend on how many there are. first: what number 0 counts as.
inline void begin(Player& engine, std::size_t first = 0) {
    engine.reset(keys(engine.streams()));
    std::vector<float> dense[2];
    for (std::size_t voice = 0; voice < engine.voices.models.size(); voice++) {
        if (!is_conditioned(engine.voices.models[voice])) continue;
        for (int s = 0; s < engine.streams(); s++) {
            Event events[30];
            for (int i = 0; i < 30; i++)
                events[i] = {4 * i + s, i % 4 ? EventKind::strike : EventKind(i % 8 / 4 * 2),
                             static_cast<std::uint16_t>(59 + i % 5), static_cast<std::uint16_t>(40 * i % 128)};
            engine.feed(s, events, static_cast<int>(voice));
            for (float value : {0.5f - static_cast<float>(s) - static_cast<float>(first + voice), 0.0f, 0.0f})
                dense[voice].push_back(value);
        }
    }
    engine.prime({}, dense[0], dense[1]);
}

inline std::vector<std::int32_t> generate(Player& engine, int count, double heat = 1.0) {
    const std::vector<double> temperature{heat}, top_p{0.95};
    const std::vector<int> top_k{30};
    std::vector<std::int32_t> codes(std::size_t(count) * engine.streams());
    engine.generate({temperature, top_k, top_p, engine.amount}, codes);
    return codes;
}

constexpr int kMany = 17;  // streams, so that two threads play their own, and not equally many

// Every model by itself, and mixtures of two.
inline std::vector<Voices> all_voices() {
    std::vector<Voices> all;
    for (const Model& model : every_kind) all.push_back({{model}});
    const Model &recurrent = every_kind[3], &wavenet = every_kind[7], &with_keys = every_kind[9];
    for (const auto& [one, other] : {std::pair{recurrent, wavenet}, {wavenet, with_keys}, {with_keys, with_keys}})
        all.push_back({{one, other}});
    return all;
}

}  // namespace wavewright

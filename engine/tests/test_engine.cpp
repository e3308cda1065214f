// Tests of the engine without Python. Every way of running a model gives the same bits, state is restored, wrong
// arguments are refused, and the generating path neither allocates nor calls the system. `make sanitize` builds these
// tests with sanitizers.
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>

#include "../src/random.hpp"
#include "../src/stall_rule.hpp"
#include "check.hpp"
#include "wavewright/engine.hpp"
#include "wavewright/predictor.hpp"

#if defined(__linux__)
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

using namespace wavewright;

// -- An allocator that counts allocations.

namespace {
std::atomic<long> allocations{0};
}

#if defined(__GLIBC__) && !defined(SANITIZED)
#define COUNTS_ALLOCATIONS 1
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);
void* malloc(size_t size) {
    allocations++;
    return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
    allocations++;
    return __libc_calloc(count, size);
}
void* realloc(void* old, size_t size) {
    allocations++;
    return __libc_realloc(old, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
    allocations++;
    return __libc_memalign(alignment, size);
}
void free(void* memory) {
    if (memory) allocations++;
    __libc_free(memory);
}
}
#endif

namespace {

// -- One small model of every kind, with random weights.

constexpr int kLevels = 40;

struct Model {
    std::string name;
    Config config;
    Weights weights{};
    std::vector<std::shared_ptr<std::vector<float>>> storage;  // what the weights point to
    std::mt19937 random{7};

    Model(std::string name, Config config) : name(std::move(name)), config(std::move(config)) {}

    void add(const std::string& weight, std::vector<std::size_t> shape) {
        std::size_t size = 1;
        for (std::size_t part : shape) size *= part;
        const double inputs = shape.size() > 1 ? static_cast<double>(size) / static_cast<double>(shape[0]) : 4;
        std::normal_distribution<float> draw(0, static_cast<float>(1.5 / std::sqrt(inputs)));
        std::vector<float>& values = *storage.emplace_back(std::make_shared<std::vector<float>>(size));
        for (float& value : values) value = draw(random);
        weights[weight] = {values.data(), shape};
    }
    void add_layer(const std::string& layer, std::size_t inputs, std::size_t units, bool gru) {
        const std::size_t rows = (gru ? 3 : 4) * units;
        add(layer + ".input_weight", {rows, inputs});
        add(layer + ".hidden_weight", {rows, units});
        add(layer + ".input_bias", {rows});
        if (gru) add(layer + ".hidden_bias", {rows});
    }
    void add_linear(const std::string& layer, std::size_t inputs, std::size_t outputs) {
        add(layer + ".weight", {outputs, inputs});
        add(layer + ".bias", {outputs});
    }
};

Model naive(bool embedded) {
    Model model{embedded ? "naive embedded" : "naive scalar",
                {"naive-rnn",
                 {{"q_levels", kLevels}, {"layers", 2}, {"units", 40}, {"input", embedded ? "embedded" : "scalar"}}}};
    if (embedded)
        model.add("input.weight", {kLevels, 40});
    else
        model.add_linear("input", 1, 40);
    for (int i = 0; i < 2; i++) model.add_layer("layers." + std::to_string(i), 40, 40, false);
    model.add_linear("output", 40, kLevels);
    return model;
}

Model tiers(std::vector<int> frames, int window, int n_rnn, bool gru, bool embedded) {
    const std::size_t units = 72, embedding = 5;
    Model model{"tiers",
                {"sample-rnn",
                 {{"q_levels", kLevels},
                  {"frame_sizes", frames},
                  {"window", window},
                  {"units", int(units)},
                  {"n_rnn", n_rnn},
                  {"cell", gru ? "gru" : "lstm"},
                  {"input", embedded ? "embedded" : "scalar"},
                  {"embedding", int(embedding)},
                  {"learned_state", true},
                  {"frame_scale", 2.0}}}};
    if (window == frames.back()) model.config.fields.erase("window");
    for (std::size_t i = 0; i < frames.size(); i++) {
        const std::string tier = "tiers." + std::to_string(i);
        const std::size_t frame = frames[i], ratio = i + 1 < frames.size() ? frame / frames[i + 1] : frame;
        model.name.append(" ").append(std::to_string(frame));
        if (i > 0) model.add_linear(tier + ".frame_input", frame, units);
        for (int j = 0; j < n_rnn; j++) {
            model.add_layer(tier + ".layers." + std::to_string(j), i == 0 && j == 0 ? frame : units, units, gru);
            model.add(tier + ".layers." + std::to_string(j) + ".start", {std::size_t(gru ? 1 : 2), units});
        }
        model.add_linear(tier + ".upsample", units, ratio * units);
    }
    if (embedded) model.add("embedding.weight", {kLevels, embedding});
    model.add_linear("sample_input", window * (embedded ? embedding : 1), units);
    for (int i = 0; i < 2; i++) model.add_linear("hidden." + std::to_string(i), units, units);
    model.add_linear("output", units, kLevels);
    return model;
}

Model wavenet(bool gated, bool embedded, int width) {
    const std::size_t channels = 70, skip = gated ? 30 : channels, taps = width;
    Model model{gated ? "gated" : "plain",
                {"wavenet",
                 {{"q_levels", kLevels},
                  {"blocks", 2},
                  {"layers", 3},
                  {"channels", int(channels)},
                  {"filter_width", width},
                  {"form", gated ? "gated" : "plain"},
                  {"input", embedded ? "embedded" : "scalar"}}}};
    if (gated) model.config.fields["skip_channels"] = int(skip);
    if (gated && embedded) model.add("input.weight", {kLevels, channels});
    if (gated && !embedded) model.add_linear("input", 1, channels);
    for (int i = 0; i < 6; i++) {
        const std::string layer = "layers." + std::to_string(i);
        model.add(layer + ".weight", {(gated ? 2 : 1) * channels, !gated && i == 0 ? 1 : channels, taps});
        if (!gated) continue;
        model.add(layer + ".bias", {2 * channels});
        model.add(layer + ".out_weight", {channels + skip, channels, 1});
        model.add(layer + ".out_bias", {channels + skip});
    }
    if (gated) {
        model.add_linear("output.1", skip, skip);
        model.add_linear("output.3", skip, kLevels);
    } else {
        model.add_linear("output", channels, kLevels);
    }
    return model;
}

Model linear(std::vector<int> frames, std::vector<int> widths, std::vector<int> blocks, int window) {
    const std::size_t embedding = 5, modes = 3, tiers = frames.size();
    Model model{"linear",
                {"linear-rnn",
                 {{"q_levels", kLevels},
                  {"frame_sizes", frames},
                  {"widths", widths},
                  {"blocks", blocks},
                  {"modes", int(modes)},
                  {"window", window},
                  {"embedding", int(embedding)}}}};
    model.add("embedding.weight", {kLevels, embedding});
    for (std::size_t i = 0; i < tiers; i++) {
        const std::string tier = "tiers." + std::to_string(i);
        const bool slow = i + 1 < tiers;
        const std::size_t width = widths[i];
        model.name.append(" ").append(std::to_string(frames[i]));
        model.add_linear(tier + ".input", (slow ? frames[i] : window) * embedding, width);
        for (int j = 0; j < blocks[i]; j++) {
            const std::string block = tier + ".blocks." + std::to_string(j);
            for (const char* part : {".diagonal.nu", ".diagonal.theta"}) model.add(block + part, {width, modes});
            model.add(block + ".diagonal.kappa", {width, modes, 2});
            model.add(block + ".diagonal.delta", {width});
            model.add_linear(block + ".gate", width, 2 * width);
            if (slow) model.add_linear(block + ".hidden", width, 2 * width);
            if (slow) model.add_linear(block + ".output", 2 * width, width);
        }
        if (slow) model.add_linear(tier + ".upsample", width, frames[i] / frames[i + 1] * widths[i + 1]);
    }
    model.add_linear("output", widths.back(), kLevels);
    return model;
}

// The model with two controls, a number and a keyboard of three keys. They enter by matrices of these names and rows.
Model conditioned(Model model, const std::vector<std::pair<std::string, std::size_t>>& entries) {
    constexpr std::size_t dense = 3, keys = 3, width = 24;  // dense: the number, and two flags
    model.name += ", conditioned";
    const std::pair<const char*, int> fields[] = {
        {"condition_hop", 5},    {"condition_width", width}, {"condition_dense", dense}, {"condition_controls", 2},
        {"keyboard_low", 60},    {"keyboard_keys", keys},    {"keyboard_offset", 1},     {"keyboard_flag", 2},
        {"keyboard_rate", 1000}, {"keyboard_events", 32},
    };
    for (const auto& [name, value] : fields) model.config.fields[name] = value;
    model.add_linear("encoder.input", dense + 4 * keys + 2, width);
    model.add_linear("encoder.output", width, width);
    for (const auto& [name, rows] : entries) model.add(name + ".weight", {rows, width});
    return model;
}

// The model with linear prediction, whose forecast enters `rows` values. The output layer has so many inputs.
Model predicted(Model model, const std::string& output, std::size_t inputs, std::size_t rows,
                bool density = true) {
    std::vector<double> amplitudes;
    for (int code = 0; code < kLevels; code++) amplitudes.push_back((2.0 * code + 1) / kLevels - 1);
    model.name += ", predicted";
    model.config.fields["prediction_order"] = 6;
    model.config.fields["prediction_window"] = 20.0;
    model.config.fields["prediction_hop"] = 5;
    model.config.fields["prediction_density"] = density;
    model.config.fields["prediction_amplitudes"] = amplitudes;
    const std::size_t numbers = density ? 2 * kLevels + Predictor::kLevels : 2 * kLevels;
    model.add("forecast.weight", {numbers, rows});
    if (!density) return model;
    model.add_linear(output, inputs, kLevels + 1);
    model.storage.back()->back() = 2;  // The bias of the last output widens the density, so that codes change.
    return model;
}

// The model with codes in two parts, which have kLevels logits together. `embedding` is the name of its codes' vectors
// of so many numbers, and empty for scalar codes. The output layer has so many inputs.
Model split(Model model, const std::string& embedding, std::size_t width, const std::string& output,
            std::size_t inputs) {
    constexpr std::size_t parts = kLevels / 2, hidden = 64;
    model.name += ", split";
    model.config.fields["split"] = true;
    model.config.fields["q_levels"] = int(parts * parts);
    if (!embedding.empty()) {
        for (const char* part : {".coarse", ".fine"}) model.add(embedding + part, {parts, width});
        model.add(embedding + ".amplitude", {width});
    }
    model.add_linear(output, inputs, parts + hidden);
    model.add("fine.table", {parts, hidden});
    model.add_linear("fine.output", hidden, parts);
    return model;
}

const Model every_kind[] = {
    naive(false),
    naive(true),
    tiers({8, 2}, 2, 1, false, false),
    tiers({6, 3}, 5, 2, true, true),
    tiers({4}, 4, 1, true, false),
    wavenet(false, false, 2),
    wavenet(true, true, 2),
    wavenet(true, false, 3),
    conditioned(naive(true), {{"condition", 40}}),
    conditioned(tiers({6, 3}, 5, 2, true, true),
                {{"tiers.0.layers.0.condition", 3 * 72}, {"tiers.1.condition", 72}, {"condition", 72}}),
    linear({1}, {40}, {2}, 3),
    linear({6, 3, 1}, {72, 100, 70}, {1, 2, 1}, 2),
    conditioned(linear({4, 1}, {40, 72}, {1, 1}, 5),
                {{"tiers.0.blocks.0.condition", 80}, {"tiers.1.blocks.0.condition", 144}}),
    conditioned(wavenet(true, true, 2), {{"condition", 6 * 140}}),
    predicted(naive(true), "output", 40, 40),
    predicted(tiers({6, 3}, 5, 2, true, true), "output", 72, 72),
    predicted(wavenet(false, false, 2), "output", 70, 70, false),
    predicted(linear({6, 3, 1}, {72, 100, 70}, {1, 2, 1}, 2), "output", 70, 70),
    split(naive(true), "input", 40, "output", 40),
    split(wavenet(false, false, 2), "", 0, "output", 70),
    conditioned(split(linear({4, 1}, {40, 72}, {1, 1}, 5), "embedding", 5, "output", 72),
                {{"tiers.0.blocks.0.condition", 80}, {"tiers.1.blocks.0.condition", 144}}),
    conditioned(predicted(wavenet(true, true, 2), "output.3", 30, 140), {{"condition", 6 * 140}}),
};

// -- Playing.

std::vector<std::uint64_t> keys(int streams) {
    std::vector<std::uint64_t> all;
    for (int i = 0; i < 2 * streams; i++) all.push_back(1000 + i);
    return all;
}

bool is_conditioned(const Model& model) { return model.config.fields.contains("condition_hop"); }

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
void begin(Player& engine, std::size_t first = 0) {
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

std::vector<std::int32_t> generate(Player& engine, int count, double heat = 1.0) {
    const std::vector<double> temperature{heat}, top_p{0.95};
    const std::vector<int> top_k{30};
    std::vector<std::int32_t> codes(std::size_t(count) * engine.streams());
    engine.generate({temperature, top_k, top_p, engine.amount}, codes);
    return codes;
}

constexpr int kMany = 17;  // streams, so that two threads play their own, and not equally many

void same_bits(const Voices& voices) {
    constexpr int kCount = 150;
    Player reference(voices, Precision::float32, {1, 1, "scalar"});
    begin(reference);
    const std::vector<std::int32_t> expected = generate(reference, kCount);
    int changes = 0;
    for (int i = 1; i < kCount; i++) changes += expected[i] != expected[i - 1];
    check(changes > 25, voices.name() + ": the reference hardly moves");
    for (const std::string& isa : instruction_sets())
        for (const auto& [threads, streams] : {std::pair{1, 1}, {1, 5}, {2, 1}, {2, 5}, {2, kMany}}) {
            Player engine(voices, Precision::float32, {streams, threads, isa});
            begin(engine);
            std::vector<std::int32_t> first;
            for (int done = 0, block = 1; done < kCount; done += block, block = std::min(7 * block, kCount - done)) {
                const std::vector<std::int32_t> codes = generate(engine, block);
                first.insert(first.end(), codes.begin(), codes.begin() + block);
            }
            check(first == expected, voices.name() + ": other codes with " + isa + ", " + std::to_string(threads) +
                                         " threads, " + std::to_string(streams) + " streams");
        }
}

void state_and_reset(const Voices& voices, int streams) {
    for (Precision precision : {Precision::float32, Precision::bfloat16, Precision::int8}) {
        Player engine(voices, precision, {streams, 2}), other(voices, precision, {streams, 1});
        begin(engine);
        const std::vector<std::int32_t> beginning = generate(engine, 37);  // In a frame, and with events that wait.
        std::vector<std::byte> state(engine.state_size());
        engine.save(state);
        const std::vector<std::int32_t> after = generate(engine, 50);
        generate(other, 11);
        other.restore(state);
        check(generate(other, 50) == after, voices.name() + ": a restored state goes another way");
        begin(engine);
        check(generate(engine, 37) == beginning, voices.name() + ": a reset engine begins otherwise");
        try {
            engine.restore(std::span(state).first(state.size() - 1));
            check(false, voices.name() + ": took a state of another size");
        } catch (const Error&) {
        }
    }
}

std::vector<std::byte> state_of(const Engine& engine) {
    std::vector<std::byte> state(engine.state_size());
    engine.save(state);
    return state;
}

// Known codes are computed many at once. They have the bits that one sample after the other gives.
void known_codes(const Voices& voices) {
    constexpr int kCount = 140;
    for (Precision precision : {Precision::float32, Precision::int8})
        for (const auto& [threads, streams] : {std::pair{1, 1}, {2, 3}, {2, kMany}}) {
            const std::string what = voices.name() + ", " + std::to_string(threads) + " threads, " +
                                     std::to_string(streams) + " streams: ";
            Player stepped(voices, precision, {streams, 1}), primed(voices, precision, {streams, threads});
            Player forced(voices, precision, {streams, threads}), scored(voices, precision, {streams, threads});
            for (Player* player : {&stepped, &primed, &forced, &scored}) begin(*player);
            std::vector<std::int32_t> codes(kCount * streams), column(streams);
            for (std::size_t i = 0; i < codes.size(); i++) codes[i] = static_cast<int>(i * i * 7 % kLevels);
            std::vector<float> logits(codes.size() * kLevels), expected(logits.size()), own(streams * kLevels);
            for (int i = 0; i < kCount; i++) {
                for (int s = 0; s < streams; s++) column[s] = codes[s * kCount + i];
                stepped.logits(column, own);
                for (int s = 0; s < streams; s++)
                    std::copy_n(own.data() + s * kLevels, kLevels, expected.data() + (s * kCount + i) * kLevels);
            }
            forced.logits(codes, logits);
            check(logits == expected, what + "other logits");
            bool finite = true;
            for (float logit : logits) finite &= std::isfinite(logit);
            check(finite, what + "a logit is not finite");
            primed.prime(codes);
            std::vector<double> nats(codes.size());
            scored.score(codes, nats);
            const int parts = voices.models[0].config.fields.contains("split") ? 2 : 1, levels = kLevels / parts;
            double worst = 0;
            for (std::size_t i = 0; i < codes.size(); i++) {
                double exact = 0;
                for (int part = 0; part < parts; part++) {
                    const float* const row = &logits[i * kLevels + part * levels];
                    const int code = parts == 1 ? codes[i] : part ? codes[i] % levels : codes[i] / levels;
                    double sum = 0;
                    for (int k = 0; k < levels; k++) sum += std::exp(double(row[k]) - double(row[code]));
                    exact += std::log(sum);
                }
                worst = std::max(worst, std::abs(nats[i] - exact) / (1 + exact));
            }
            check(worst < 1e-6, what + "nats are " + std::to_string(worst) + " off");
            for (Player* player : {&primed, &forced, &scored})
                check(state_of(*player) == state_of(stepped), what + "another state");
            const std::vector<std::int32_t> after = generate(stepped, 40);
            for (Player* player : {&primed, &forced, &scored})
                check(generate(*player, 40) == after, what + "the streams go on otherwise");
        }
}

void refuses() {
    Model model = wavenet(false, false, 2);
    const auto refused = [&](auto change, const std::string& named) {
        Config config = model.config;
        Weights weights = model.weights;
        Engine::Options options;
        change(config, weights, options);
        try {
            Engine engine({{config, weights}}, options);
            check(false, "not refused: " + named);
        } catch (const Error& error) {
            check(std::strstr(error.what(), named.c_str()) != nullptr, named + " is not named in: " + error.what());
        }
    };
    refused([](auto&, Weights& w, auto&) { w.erase("output.bias"); }, "output.bias");
    refused([](auto&, Weights& w, auto&) { w["layers.2.weight"].shape[1]++; }, "layers.2.weight");
    refused([](auto&, auto&, Engine::Options& o) { o.threads = 0; }, "threads");
    refused([](auto&, auto&, Engine::Options& o) { o.streams = -1; }, "streams");
    refused([](auto&, auto&, Engine::Options& o) { o.isa = "mmx"; }, "mmx");
    refused([](Config& c, auto&, auto&) { c.model = "transformer"; }, "transformer");
    refused([](Config& c, auto&, auto&) { c.fields.erase("channels"); }, "channels: missing");
    refused([](Config& c, auto&, auto&) { c.fields["channels"] = "70"; }, "channels: of another type");
    refused([](Config& c, auto&, auto&) { c.fields["channels"] = 0; }, "channels: 0");
    refused([](Config& c, auto&, auto&) { c.fields["channels"] = std::int64_t{1} << 40; }, "channels: 1099511627776");
    refused([](Config& c, auto&, auto&) { c.fields["form"] = true; }, "form: of another type");
    model = split(wavenet(false, false, 2), "", 0, "output", 70);
    refused([](Config& c, auto&, auto&) { c.fields["q_levels"] = 40; }, "q_levels: 40; with split, give a square");
    refused([](Config& c, auto&, auto&) { c.fields["prediction_order"] = 6; }, "split: a model with prediction");
    refused([](auto&, Weights& w, auto&) { w.erase("fine.table"); }, "fine.table");
    model = every_kind[std::size(every_kind) - 1];
    refused([](Config& c, auto&, auto&) { c.fields["keyboard_offset"] = 4; }, "keyboard_offset");
    refused([](Config& c, auto&, auto&) { c.fields["keyboard_flag"] = -1; }, "keyboard_flag: -1");
    refused([](Config& c, auto&, auto&) { c.fields["condition_controls"] = 4; }, "condition_controls");
    refused([](Config& c, auto&, auto&) { c.fields.erase("keyboard_rate"); }, "keyboard_rate: missing");
    refused([](auto&, Weights& w, auto&) { w.erase("encoder.input.weight"); }, "encoder.input.weight");
    refused([](auto&, Weights& w, auto&) { w["condition.weight"].shape[1]++; }, "condition.weight");
    const auto refuses_to = [](auto work, const std::string& named) {
        try {
            work();
            check(false, "not refused: " + named);
        } catch (const Error& error) {
            check(std::strstr(error.what(), named.c_str()) != nullptr, named + " is not named in: " + error.what());
        }
    };
    const Source source{model.config, model.weights};
    const Model plain = wavenet(false, false, 2);
    Engine one({source}, {}), two({source, {plain.config, plain.weights}}, {});
    const std::vector<double> single{1}, none, wrong_amount{NAN}, few{0, 1};
    const std::vector<int> top_k{kLevels};
    std::vector<std::int32_t> codes(3), wrong{0, kLevels};
    std::vector<float> logits(3 * kLevels), dense(3), bad(4);
    std::vector<double> nats(3), short_nats(2);
    refuses_to([&] { one.prime(wrong); }, "codes: 40");
    refuses_to([&] { one.generate({single, top_k, single, single}, codes); }, "amount: there is one voice");
    refuses_to([&] { two.generate({single, top_k, single, none}, codes); }, "amount: 0 values for 3 samples");
    refuses_to([&] { two.generate({single, top_k, single, few}, codes); }, "amount: 2 values for 3 samples");
    refuses_to([&] { two.generate({single, top_k, single, wrong_amount}, codes); }, "amount: nan");
    refuses_to([&] { one.prime(codes, dense, dense); }, "second: there is one voice");
    refuses_to([&] { two.prime(codes, dense, dense); }, "dense: this model was made without a condition");
    refuses_to([&] { two.prime(codes, bad); }, "dense: 4 values");
    refuses_to([&] { two.logits(codes, logits); }, "logits: there are two voices");
    refuses_to([&] { two.score(codes, nats); }, "score: there are two voices");
    refuses_to([&] { one.score(codes, short_nats); }, "nats: no room");
    refuses_to([&] { one.score(wrong, nats); }, "codes: 40");
    refuses_to([&] { two.feed(0, {}, 1); }, "events: this model was made without a condition");
    refuses_to([&] { two.feed(0, {}, 2); }, "voice: 2; give 0 to 1");
    refuses_to([&] { one.feed(0, {}, -1); }, "voice: -1");
    refuses_to([&] { Engine({}, {}); }, "voices: 0; give 1 or 2");
    refuses_to([&] { Engine({source, source, source}, {}); }, "voices: 3");
    Config other = plain.config;
    other.fields["q_levels"] = kLevels / 2;
    refuses_to([&] { Engine({source, {other, plain.weights}}, {}); }, "q_levels: 40 and 20");
    other.fields["q_levels"] = 400;
    const Model parts = split(wavenet(false, false, 2), "", 0, "output", 70);
    refuses_to([&] { Engine({{other, plain.weights}, {parts.config, parts.weights}}, {}); }, "split: two voices");
}

// A mixture's codes are those that are drawn from its voices' own logits, mixed here.
void mixed(const Voices& voices) {
    constexpr int kCount = 200;
    const std::vector<double> single{1};
    const std::vector<int> top_k{kLevels};
    std::vector<double> amount;
    for (int i = 0; i < kCount; i++) amount.push_back(i < 50 ? 0 : i < 100 ? 1 : 0.02 * i - 2.5);
    Player both(voices, Precision::float32, {2, 2});
    begin(both);
    std::vector<std::int32_t> codes(2 * kCount), expected;
    both.generate({single, top_k, single, amount}, codes);
    std::vector<float> logits[2], sum(kLevels);
    for (int voice = 0; voice < 2; voice++) {
        const Voices own{{voices.models[voice]}};
        Player alone(own, Precision::float32, {2, 1});
        begin(alone, voice);
        logits[voice].resize(codes.size() * kLevels);
        alone.logits(codes, logits[voice]);
    }
    for (int s = 0; s < 2; s++) {
        Philox uniforms{{keys(2)[2 * s], keys(2)[2 * s + 1]}};
        for (int i = 0; i < kCount; i++) {
            const std::size_t place = (s * kCount + i) * kLevels;
            const float *const a = &logits[0][place], *const b = &logits[1][place];
            for (int code = 0; code < kLevels; code++) {
                const double first = (1 - amount[i]) * a[code], second = amount[i] * b[code];
                sum[code] = i < 50 ? a[code] : i < 100 ? b[code] : static_cast<float>(first + second);
            }
            expected.push_back(draw(sum, uniforms.next(), 1, kLevels, 1));
        }
    }
    check(codes == expected, voices.name() + ": other codes than its voices' logits give");
}

// -- Real time.

// Drives the rule with made-up times. Work and waiting take turns until `end`, or until the caller is to work alone.
struct Stalled {
    StallRule rule;
    StallRule::Time now{std::chrono::hours(5)};

    Stalled() { rule.resume(now); }
    bool goes_alone(StallRule::Time work, StallRule::Time wait, StallRule::Time duration) {
        for (const StallRule::Time end = now + duration; now < end;) {
            rule.waited(now + work, now + work + wait);
            now += work + wait;
            if (rule.alone(now)) return true;
        }
        return false;
    }
    // How long the caller is to work alone from now on.
    StallRule::Time stretch() {
        const StallRule::Time start = now;
        while (rule.alone(now)) now += std::chrono::milliseconds(1);
        rule.resume(now);
        return now - start;
    }
};

void stall_rule() {
    using namespace std::chrono_literals;
    check(!Stalled().goes_alone(60us, 40us, 60s), "waiting for less than half of the time sends the caller alone");
    check(!Stalled().goes_alone(600us, 300us, 60s), "long steps of many streams send the caller alone");
    check(!Stalled().goes_alone(8ms, 250us, 60s), "a worker that wakes from its nap sends the caller alone");
    check(!Stalled().goes_alone(200ms, 4ms, 60s), "a rare slice of another program sends the caller alone");
    check(!Stalled().goes_alone(10s, 1s, 60s), "the unequal ends of a long block send the caller alone");
    check(Stalled().goes_alone(1ms, 4ms, 40ms), "other programs on the cores do not send the caller alone");
    check(Stalled().goes_alone(20us, 200us, 40ms), "short waits that add up do not send the caller alone");

    Stalled live;  // The pause between two blocks is no work, which would hide the waiting.
    bool alone = false;
    for (int block = 0; block < 20 && !alone; block++) {
        alone = live.goes_alone(1ms, 4ms, 5ms);
        live.rule.resume(live.now += 100ms);
    }
    check(alone, "pauses between blocks hide that the caller waits");

    Stalled busy;
    StallRule::Time before{0}, longest{0}, total{0};
    for (int i = 0; i < 8; i++) {
        check(busy.goes_alone(1ms, 4ms, 40ms), "the caller does not go alone again");
        const StallRule::Time stretch = busy.stretch();
        check(stretch >= before, "a stretch alone is shorter than the one before");
        longest = std::max(longest, stretch);
        total += stretch;
        before = stretch;
    }
    check(longest == StallRule::kMostAlone, "stretches alone do not grow to the longest");
    check(total > 10 * 8 * StallRule::kMostDebt, "the caller is alone for too short a time to make up for the tries");
    check(!busy.goes_alone(100us, 10us, 10s), "the caller stays alone when the cores are free again");
    check(busy.goes_alone(1ms, 4ms, 40ms) && busy.stretch() == StallRule::kLeastAlone,
          "a stall after a good time is not forgiven");
}

// Two threads on one core stall each other. So the caller goes on alone, and tries two threads again now and then.
void same_bits_on_one_core(const Voices& voices) {
#if defined(__linux__)
    constexpr int kCount = 1300;
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    for (const auto& [precision, streams] :
         {std::pair{Precision::float32, 2}, {Precision::int8, 2}, {Precision::int8, kMany}}) {
        Player reference(voices, precision, {streams, 1});
        sched_setaffinity(0, sizeof one, &one);
        Player engine(voices, precision, {streams, 2});
        begin(engine);
        begin(reference);
        for (int block : {streams == kMany ? 300 : kCount, 1, 1, 70})
            check(generate(engine, block) == generate(reference, block), voices.name() + ": other codes on one core");
        sched_setaffinity(0, sizeof all, &all);
    }
#else
    (void)voices;
#endif
}

void no_allocation(const Voices& voices, int streams) {
#if defined(COUNTS_ALLOCATIONS)
    Player engine(voices, Precision::int8, {streams, 2});
    std::vector<std::int32_t> codes(std::size_t(streams) * 200);
    std::vector<float> logits(codes.size() * kLevels);
    std::vector<double> nats(codes.size());
    const std::vector<double> temperature{0.9}, top_p{0.9};
    const std::vector<int> top_k{20};
    const Model& last = voices.models.back();
    const int number = static_cast<int>(voices.models.size()) - 1;
    const int frames = is_conditioned(last) ? 40 : 0;  // which 200 samples begin
    const std::vector<float> dense(std::size_t(streams) * 3 * frames), none;
    const std::vector<Event> events(is_conditioned(last) ? 40 : 0, Event{9, EventKind::strike, 60, 90});
    const long before = allocations;
    const int dropped = events.empty() ? 8 : engine.feed(1, events, number);
    engine.generate({temperature, top_k, top_p, engine.amount}, codes);
    engine.prime(codes, number ? none : dense, number ? dense : none);
    if (number == 0) engine.logits(codes, logits, dense);
    if (number == 0) engine.score(codes, nats, dense);
    const long after = allocations;
    check(after == before, voices.name() + ": the generating path allocates");
    check(dropped == 8, voices.name() + ": drops other events than those without room");
    const long unused = allocations;
    void* volatile memory = malloc(16);
    free(memory);
    const long used = allocations;
    check(used == unused + 2, "the counting allocator does not count");
#else
    (void)voices, (void)streams;
#endif
}

#if defined(__linux__) && !defined(SANITIZED) && defined(__x86_64__)
// Generates in a child process whose threads may only wait. Any other system call kills the child.
bool survives_alone(const Voices& voices, bool call) {
    const pid_t child = fork();
    if (child == 0) {
        Player engine(voices, Precision::float32, {2, 2});
        begin(engine);
        std::vector<std::int32_t> codes(2 * 500);
        const std::vector<double> temperature{0.9}, top_p{0.9};
        const std::vector<int> top_k{20};
        sock_filter filter[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_yield, 4, 0),      // another program has the core
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_nanosleep, 3, 0),  // an idle thread, between blocks
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_nanosleep, 2, 0),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        sock_fprog program{sizeof filter / sizeof *filter, filter};
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program)) _exit(77);
        engine.generate({temperature, top_k, top_p, engine.amount}, codes);
        engine.prime(codes);
        if (call) syscall(SYS_getpid);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        std::printf("skipped: this system takes no seccomp filter\n");
        return !call;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void no_system_call(const Voices& voices) {
    check(survives_alone(voices, false), voices.name() + ": the generating path calls the system");
    check(!survives_alone(voices, true), "a call of the system goes unnoticed");
}
#else
void no_system_call(const Voices&) {}
#endif

}  // namespace

int main() {
    std::vector<Voices> all;
    for (const Model& model : every_kind) all.push_back({{model}});
    const Model &recurrent = every_kind[3], &wavenet = every_kind[7], &with_keys = every_kind[9];
    for (const auto& [one, other] : {std::pair{recurrent, wavenet}, {wavenet, with_keys}, {with_keys, with_keys}}) {
        all.push_back({{one, other}});
        mixed(all.back());
    }
    for (const Voices& voices : all) {
        same_bits(voices);
        for (int streams : {2, kMany}) state_and_reset(voices, streams);
        if (voices.models.size() == 1) known_codes(voices);
        same_bits_on_one_core(voices);
        for (int streams : {3, kMany}) no_allocation(voices, streams);
        no_system_call(voices);
    }
    refuses();
    stall_rule();
    return summary();
}

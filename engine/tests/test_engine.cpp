// Tests of the engine without Python. Every way of running a model gives the same bits, state is restored, and wrong
// arguments are refused. `make sanitize` builds these tests with sanitizers.
#include <cstring>
#include <memory>

#include "../src/random.hpp"
#include "check.hpp"
#include "playing.hpp"

using namespace wavewright;

namespace {

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
            const std::string what =
                voices.name() + ", " + std::to_string(threads) + " threads, " + std::to_string(streams) + " streams: ";
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

}  // namespace

int main() {
    for (const Voices& voices : all_voices()) {
        same_bits(voices);
        for (int streams : {2, kMany}) state_and_reset(voices, streams);
        if (voices.models.size() == 1)
            known_codes(voices);
        else
            mixed(voices);
    }
    refuses();
    return summary();
}

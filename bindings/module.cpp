// The Python module wavewright._engine. It is thin, since the Python class over it checks arguments.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "wavewright/engine.hpp"
#include "wavewright/predictor.hpp"

namespace nb = nanobind;
using namespace wavewright;

namespace {

using Floats = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using Doubles = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Ints = nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Codes = nb::ndarray<const std::int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using NewCodes = nb::ndarray<std::int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using NewNats = nb::ndarray<double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using NewLogits = nb::ndarray<float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Dense = nb::ndarray<const float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Events = nb::ndarray<const std::int64_t, nb::shape<-1, 4>, nb::c_contig, nb::device::cpu>;
using States = nb::ndarray<double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using NewDoubles = nb::ndarray<double, nb::shape<-1, -1, 2>, nb::c_contig, nb::device::cpu>;
using NewInts = nb::ndarray<std::int32_t, nb::shape<-1, -1, 3>, nb::c_contig, nb::device::cpu>;
using Keys = nb::ndarray<const std::uint64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

template <class Array>
auto span(const Array& array) {
    return std::span(array.data(), array.size());
}

Field field_of(const std::string& name, nb::handle value) {
    if (nb::isinstance<nb::bool_>(value)) return nb::cast<bool>(value);
    if (nb::isinstance<nb::int_>(value)) return nb::cast<std::int64_t>(value);
    if (nb::isinstance<nb::float_>(value)) return nb::cast<double>(value);
    if (nb::isinstance<nb::str>(value)) return nb::cast<std::string>(value);
    std::vector<int> numbers;
    if (nb::try_cast(value, numbers)) return numbers;
    std::vector<double> reals;
    if (nb::try_cast(value, reals)) return reals;
    throw Error(name + ": give a boolean, a number, a text or numbers");
}

Config config_of(const std::string& model, const nb::dict& fields) {
    Config config{model, {}};
    for (const auto& [key, value] : fields) {
        if (value.is_none()) continue;
        const auto name = nb::cast<std::string>(key);
        config.fields[name] = field_of(name, value);
    }
    return config;
}

Weights weights_of(const nb::dict& arrays) {
    Weights weights;
    for (const auto& [name, array] : arrays) {
        const auto values = nb::cast<Floats>(array);
        std::vector<std::size_t> shape;
        for (std::size_t i = 0; i < values.ndim(); i++) shape.push_back(values.shape(i));
        weights[nb::cast<std::string>(name)] = {values.data(), shape};
    }
    return weights;
}

struct Model {
    Config config;
    Weights weights;
    Precision precision;
};

// The model of a tuple of its name, fields, weights and precision.
Model model_of(const nb::tuple& parts) {
    return {config_of(nb::cast<std::string>(parts[0]), nb::cast<nb::dict>(parts[1])),
            weights_of(nb::cast<nb::dict>(parts[2])), precision_of(nb::cast<std::string>(parts[3]))};
}

std::vector<Event> events_of(const Events& rows) {
    std::vector<Event> events;
    for (std::size_t i = 0; i < rows.shape(0); i++)
        events.push_back({rows(i, 0), static_cast<EventKind>(rows(i, 1)), static_cast<std::uint16_t>(rows(i, 2)),
                          static_cast<std::uint16_t>(rows(i, 3))});
    return events;
}

// Lets streams hear codes (B, T), and writes what is predicted after each of them. The keys of control frames (B, M, F)
// are told before the samples that begin them. `phase` samples of the first have gone by already. Without
// frames, no key is struck.
void hear(const Predictor& predictor, const Codes& codes, const States& states, const NewDoubles& amplitudes,
          const NewInts& ints, const Dense& frames, std::size_t phase) {
    const std::size_t length = codes.shape(1);
    const std::size_t frame = frames.shape(1) ? predictor.keyboard().frame : 0;
    for (std::size_t stream = 0; stream < codes.shape(0); stream++)
        for (std::size_t i = 0; i < length; i++) {
            const std::span state(states.data() + stream * predictor.size(), predictor.size());
            Forecast forecast = predictor.hear(state, codes(stream, i));
            if (frame && (phase + i) % frame == 0 && predictor.strike(state, &frames(stream, (phase + i) / frame, 0)))
                forecast = predictor.forecast(state);
            double* const given = amplitudes.data() + 2 * (stream * length + i);
            std::int32_t* const numbers = ints.data() + 3 * (stream * length + i);
            given[0] = forecast.centre;
            given[1] = forecast.spread;
            numbers[0] = forecast.code;
            numbers[1] = forecast.error;
            numbers[2] = forecast.level;
        }
}

}  // namespace

NB_MODULE(_engine, module) {
    nb::exception<Error>(module, "Error");
    nb::class_<Engine>(module, "Engine")
        .def(
            "__init__",
            [](Engine* self, const nb::list& voices, int streams, std::optional<int> threads, const std::string& isa) {
                std::vector<Model> models;
                for (const nb::handle voice : voices) models.push_back(model_of(nb::cast<nb::tuple>(voice)));
                std::vector<Source> sources;
                for (const Model& model : models) sources.push_back({model.config, model.weights, model.precision});
                new (self) Engine(sources, {streams, threads, isa});
            },
            nb::arg("voices"), nb::arg("streams"), nb::arg("threads").none(), nb::arg("isa") = "")
        .def_prop_ro("isa", &Engine::isa)
        .def_prop_ro("samples_alone", &Engine::samples_alone)
        .def_prop_ro("threads", &Engine::threads)
        .def_prop_ro("work",
                     [](const Engine& engine) {
                         const Work work = engine.work();
                         return std::make_tuple(work.multiply_adds, work.bytes_read, work.bytes);
                     })
        .def(
            "reset", [](Engine& engine, const Keys& keys) { engine.reset(span(keys)); }, nb::arg("keys"))
        .def(
            "feed",
            [](Engine& engine, int stream, const Events& events, int voice) {
                return engine.feed(stream, events_of(events), voice);
            },
            nb::arg("stream"), nb::arg("events"), nb::arg("voice"))
        .def(
            "prime",
            [](Engine& engine, const Codes& codes, const Dense& dense, const Dense& second) {
                const auto given = span(codes);
                const auto features = span(dense), others = span(second);
                const nb::gil_scoped_release release;
                engine.prime(given, features, others);
            },
            nb::arg("codes"), nb::arg("dense"), nb::arg("second"))
        .def(
            "logits",
            [](Engine& engine, const Codes& codes, const NewLogits& logits, const Dense& dense) {
                const auto given = span(codes);
                const auto made = span(logits);
                const auto features = span(dense);
                const nb::gil_scoped_release release;
                engine.logits(given, made, features);
            },
            nb::arg("codes"), nb::arg("logits"), nb::arg("dense"))
        .def(
            "score",
            [](Engine& engine, const Codes& codes, const NewNats& nats, const Dense& dense) {
                const auto given = span(codes);
                const auto made = span(nats);
                const auto features = span(dense);
                const nb::gil_scoped_release release;
                engine.score(given, made, features);
            },
            nb::arg("codes"), nb::arg("nats"), nb::arg("dense"))
        .def(
            "generate",
            [](Engine& engine, const Doubles& temperature, const Ints& top_k, const Doubles& top_p,
               const Doubles& amount, const NewCodes& codes, const Dense& dense, const Dense& second) {
                const Sampling sampling{span(temperature), span(top_k), span(top_p), span(amount)};
                const auto made = span(codes);
                const auto features = span(dense), others = span(second);
                const nb::gil_scoped_release release;
                engine.generate(sampling, made, features, others);
            },
            nb::arg("temperature"), nb::arg("top_k"), nb::arg("top_p"), nb::arg("amount"), nb::arg("codes"),
            nb::arg("dense"), nb::arg("second"))
        .def("state",
             [](const Engine& engine) {
                 std::vector<std::byte> state(engine.state_size());
                 engine.save(state);
                 return nb::bytes(state.data(), state.size());
             })
        .def(
            "restore",
            [](Engine& engine, const nb::bytes& state) {
                engine.restore({static_cast<const std::byte*>(state.data()), state.size()});
            },
            nb::arg("state"));
    nb::class_<Predictor>(module, "Predictor")
        .def(
            "__init__",
            [](Predictor* self, int order, double window, int hop, std::vector<double> amplitudes, int low, int keys,
               int rate, int frame) {
                new (self) Predictor(order, window, hop, std::move(amplitudes), {low, keys, rate, frame});
            },
            nb::arg("order"), nb::arg("window"), nb::arg("hop"), nb::arg("amplitudes"), nb::arg("low"), nb::arg("keys"),
            nb::arg("rate"), nb::arg("frame"))
        .def_prop_ro("size", &Predictor::size)
        .def_prop_ro("log_widths", &Predictor::log_widths)
        .def(
            "reset",
            [](const Predictor& predictor, const States& states) {
                for (std::size_t stream = 0; stream < states.shape(0); stream++)
                    predictor.reset({states.data() + stream * predictor.size(), predictor.size()});
            },
            nb::arg("states"))
        .def("hear", &hear, nb::arg("codes"), nb::arg("states"), nb::arg("amplitudes"), nb::arg("numbers"),
             nb::arg("frames"), nb::arg("phase"), nb::call_guard<nb::gil_scoped_release>());
    module.def("instruction_sets", &instruction_sets);
    module.def(
        "draw",
        [](const nb::ndarray<const float, nb::ndim<1>, nb::c_contig>& logits, double uniform, double temperature,
           int top_k, double top_p) { return draw(span(logits), uniform, temperature, top_k, top_p); },
        nb::arg("logits"), nb::arg("uniform"), nb::arg("temperature"), nb::arg("top_k"), nb::arg("top_p"));
    module.def(
        "measure_limits",
        [](std::size_t size, int threads, const std::string& isa) {
            const nb::gil_scoped_release release;
            const Limits limits = measure_limits(size, threads, isa);
            return std::make_tuple(limits.bytes_per_second, limits.multiply_adds_per_second,
                                   limits.integer_multiply_adds_per_second);
        },
        nb::arg("size"), nb::arg("threads"), nb::arg("isa"));
}

// SPDX-License-Identifier: Apache-2.0
#include "control/explanation.hh"

#include "control/reply_reader.hh"

namespace sidecore::control {

namespace {

Json to_json(const FiguresInfo& figures) {
    return {
        {"price_ns", figures.price_ns},
        {"threshold_ns", figures.threshold_ns},
        {"learned_threshold_ns", figures.learned_threshold_ns},
        {"credit_ns", figures.credit_ns},
        {"gaps", figures.gaps},
        {"mean_gap_ns", figures.mean_gap_ns},
        {"paid_ns", figures.paid_ns},
        {"optimal_ns", figures.optimal_ns},
    };
}

FiguresInfo read_figures(const Value& table, Problems& problems) {
    ReplyReader reader(table, "figures", problems);
    FiguresInfo figures;
    figures.price_ns = reader.integer("price_ns");
    figures.threshold_ns = reader.integer("threshold_ns");
    figures.learned_threshold_ns = reader.integer("learned_threshold_ns");
    figures.credit_ns = reader.integer("credit_ns");
    figures.gaps = reader.integer("gaps");
    figures.mean_gap_ns = reader.number("mean_gap_ns");
    figures.paid_ns = reader.number("paid_ns");
    figures.optimal_ns = reader.number("optimal_ns");
    return figures;
}

Json to_json(const QueueReasons& queue) {
    return {
        {"index", queue.index},
        {"worker", queue.worker},
        {"mode", queue.mode},
        {"mode_age_ns", queue.mode_age_ns},
        {"policy", queue.policy},
        {"bar", queue.bar},
        {"worker_decides", queue.worker_decides},
        {"figures", to_json(queue.figures)},
        {"worker_figures", to_json(queue.worker_figures)},
        {"pass_ns", queue.pass_ns},
        {"request_ns", queue.request_ns},
        {"kicks_avoided", queue.kicks_avoided},
        {"saved_ns", queue.saved_ns},
        {"spent_ns", queue.spent_ns},
        {"text", queue.text},
    };
}

QueueReasons read_queue(const Value& table, Problems& problems) {
    ReplyReader reader(table, "queue", problems);
    QueueReasons queue;
    queue.index = static_cast<std::uint16_t>(reader.integer("index", std::numeric_limits<std::uint16_t>::max()));
    queue.worker = reader.text("worker");
    queue.mode = reader.text("mode");
    queue.mode_age_ns = reader.integer("mode_age_ns");
    queue.policy = reader.text("policy");
    queue.bar = reader.text("bar");
    queue.worker_decides = reader.boolean("worker_decides");
    queue.figures = reader.table("figures", read_figures);
    queue.worker_figures = reader.table("worker_figures", read_figures);
    queue.pass_ns = reader.number("pass_ns");
    queue.request_ns = reader.number("request_ns");
    queue.kicks_avoided = reader.integer("kicks_avoided");
    queue.saved_ns = reader.integer("saved_ns");
    queue.spent_ns = reader.integer("spent_ns");
    queue.text = reader.list("text", read_string);
    return queue;
}

Explanation read_explanation(const Value& table, Problems& problems) {
    ReplyReader reader(table, "explanation", problems);
    return {reader.text("device"), reader.list("queues", read_queue)};
}

}  // namespace

Json to_json(const Explanation& explanation) {
    Json queues = Json::array();
    for (const QueueReasons& queue : explanation.queues) {
        queues.push_back(to_json(queue));
    }
    return {{"device", explanation.device}, {"queues", std::move(queues)}};
}

Result<Explanation> parse_explanation(std::string_view body) {
    return parse_reply(body, read_explanation);
}

}  // namespace sidecore::control

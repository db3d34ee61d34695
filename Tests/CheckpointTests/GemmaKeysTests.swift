import Checkpoint
import Foundation
import GGUF
import TestSupport
import Testing

/// Values of Gemma's keys that a GGUF, or its readers, cannot express.
@Suite struct GemmaKeysTests {
  private func configuration(_ name: String, _ changes: [String: Any]) throws -> String {
    let url = Repository.root.appending(path: "Tests/CheckpointTests/Fixtures/configs/\(name).json")
    var whole = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any])
    var text = try #require(whole["text_config"] as? [String: Any])
    for (key, value) in changes { text[key] = value is NSNull ? nil : value }
    whole["text_config"] = text
    return String(decoding: try JSONSerialization.data(withJSONObject: whole), as: UTF8.self)
  }

  private func refused(_ name: String, _ changes: [String: Any]) throws -> [String] {
    do {
      _ = try ModelShapes(configuration: try configuration(name, changes), name: name)
      return []
    } catch let error as RefusedConfig {
      return error.keys.map(\.name)
    }
  }

  private static let kinds = ["full_attention", "sliding_attention"]

  @Test func valuesThatAGGUFHasAreAccepted() throws {
    for name in ["Gemma-3-4B", "Gemma-3-27B", "Gemma-4-31B", "Gemma-4-26B-A4B", "Gemma-4-E2B"] {
      #expect(try refused(name, [:]) == [], "\(name)")
    }
    #expect(try refused("Gemma-3-27B", ["query_pre_attn_scalar": 168]) == [])
    let config = ["head_dim": 512, "num_key_value_heads": 4]
    let layers = Dictionary(uniqueKeysWithValues: stride(from: 5, to: 60, by: 6).map { ("\($0)", config) })
    let changes: [String: Any] = [
      "per_layer_config": layers, "global_head_dim": NSNull(), "num_global_key_value_heads": NSNull(),
    ]
    let padded = Dictionary(
      uniqueKeysWithValues: stride(from: 5, to: 60, by: 6).map { ($0 < 10 ? "0\($0)" : "\($0)", config) })
    #expect(try refused("Gemma-4-31B", ["per_layer_config": padded, "global_head_dim": NSNull()]) == [])
    let one = try ModelShapes(configuration: try configuration("Gemma-4-31B", [:]), name: "one")
    let other = try ModelShapes(configuration: try configuration("Gemma-4-31B", changes), name: "other")
    #expect(one.tensors.map(\.shape) == other.tensors.map(\.shape))
    #expect(one.metadata["gemma4.attention.head_count_kv"] == other.metadata["gemma4.attention.head_count_kv"])
  }

  @Test func othersAreRefusedByKey() throws {
    let cases: [(String, [String: Any], [String])] = [
      ("Gemma-3-4B", ["query_pre_attn_scalar": 128], ["query_pre_attn_scalar"]),
      ("Gemma-3-27B", ["query_pre_attn_scalar": 128], ["query_pre_attn_scalar"]),
      ("Gemma-3-4B", ["sliding_window_pattern": 4], ["sliding_window_pattern"]),
      ("Gemma-3-4B", ["_sliding_window_pattern": 4], ["_sliding_window_pattern"]),
      ("Gemma-3-4B", ["layer_types": (0..<34).map { Self.kinds[($0 + 1) % 5 == 0 ? 0 : 1] }], ["layer_types"]),
      ("Gemma-3-4B", ["rope_scaling": ["rope_type": "yarn", "factor": 4.0]], ["rope_scaling.rope_type"]),
      ("Gemma-3-4B", ["attention_bias": true], ["attention_bias"]),
      ("Gemma-3-4B", ["attn_logit_softcapping": 50.0], ["attn_logit_softcapping"]),
      ("Gemma-3-4B", ["hidden_activation": "silu"], ["hidden_activation"]),
      ("Gemma-4-31B", ["use_bidirectional_attention": "all"], ["use_bidirectional_attention"]),
      ("Gemma-4-E2B", ["num_kv_shared_layers": 18], ["num_kv_shared_layers"]),
      ("Gemma-4-31B", ["per_layer_config": ["5": ["head_dim": 512]]], ["per_layer_config"]),
      ("Gemma-4-31B", ["layer_types": Array(repeating: "chunked_attention", count: 60)], ["layer_types"]),
      (
        "Gemma-4-31B",
        [
          "rope_parameters": [
            "full_attention": ["rope_type": "default", "rope_theta": 1e6],
            "sliding_attention": ["rope_type": "linear", "factor": 2.0, "rope_theta": 1e4],
          ]
        ],
        [
          "rope_parameters.sliding_attention.factor", "rope_parameters.sliding_attention.rope_type",
          "rope_parameters.full_attention.rope_type",
        ]
      ),
    ]
    for (name, changes, keys) in cases {
      #expect(Set(try refused(name, changes)) == Set(keys), "\(name) \(changes.keys.sorted())")
    }
  }
}

import Foundation
import GGUF
import Plan
import Quantize
import Tensors
import TestSupport
import Testing

/// Published figures of models that are known by name.
struct Published: Decodable {
  struct File: Decodable, Sendable, CustomTestStringConvertible {
    let model: String
    let mix: String
    let form: String?
    let bytes: Int
    let constant: Int
    var testDescription: String { "\(model) \(mix)" }
  }

  struct Printed: Decodable, Sendable, CustomTestStringConvertible {
    let model: String
    let mix: String
    let form: String?
    let unit: String
    let size: String
    var testDescription: String { "\(model) \(mix) \(size) \(unit)" }
  }

  struct Speed: Decodable, Sendable {
    let model: String
    let mix: String
    let tokens: Double
  }

  let files: [File]
  let printed: [Printed]
  let cache: [String: Int]
  let weights: [String: String]
  let tensors: [Printed]
  let speed: [Speed]

  static let all: Published = {
    let url = Repository.root.appending(path: "Tests/PlanTests/Fixtures/published.json")
    guard let data = try? Data(contentsOf: url), let all = try? JSONDecoder().decode(Published.self, from: data) else {
      preconditionFailure("\(url.path) is damaged")
    }
    return all
  }()
}

/// A plan of a model that is known by name, with rows for some mixes (all where none is named).
func plan(
  _ name: String, old: Bool = false, on machine: String = "m3-ultra-256", context: Int = 32_768,
  cache: CacheType = .f16, mixes names: [String] = []
) throws -> MemoryPlan {
  let opened = try PlanSource(name)
  let model: any ModelSource = old ? TypedShapes(oldLatentFormOf: opened.model)! : opened.model
  var plan = try MemoryPlan(
    model, machine: try Machines.named(machine), context: context, cache: cache,
    publishedMetadata: opened.publishedMetadata)
  for mix in PlannedMix.all(hasImportance: true, beforeSplitLatents: old)
  where names.isEmpty || names.contains(mix.name) {
    plan.add(mix)
  }
  return plan
}

import Blocks
import Files
import Foundation
import Tensors

/// A published table of the cost of single tensors: the KL divergence of a whole model when one tensor alone has a type.
///
/// Two forms are read:
///
/// - GGUF-Tool-Suite's `kld_results.csv`: the header is `QTYPE` and the names of tensors; a row is a type and its values. 404
///   and empty cells are failed measurements. Tensors of one layer that were measured together repeat one value.
/// - One measurement a line, under the header `tensor,type,kld`.
///
/// A value is in nats, or in percent where it ends in `%`.
public struct PublishedTable: Sendable, Equatable {
  public struct Value: Sendable, Equatable {
    public let tensor: String
    /// The type of this package that is nearest to the measured one.
    public let type: GGMLType
    public let divergence: Double
  }

  public let values: [Value]
  /// Types of other programs, with the types that replace them.
  public private(set) var replaced: [String: GGMLType] = [:]
  /// Types without a similar type in this package. Their values are left out.
  public private(set) var unknownTypes: [String] = []
  /// Values that can't be divergences: their number, and a description of the first.
  public private(set) var unusable: (count: Int, first: String?) = (0, nil)
  /// Failed measurements.
  public private(set) var failures = 0

  /// - Throws: ``SensitivityError/malformed(file:reason:)`` for a file that is not such a table, and errors of reading.
  public init(path: String) throws {
    let name = String(path.split(separator: "/").last ?? "")
    let file = try PositionedFile(path: path)
    let bytes = try TextFile.content(of: try file.bytes(in: 0..<file.size), path: path)
    try self.init(text: String(decoding: bytes, as: UTF8.self), file: name)
  }

  /// - Parameter file: the name of the file in messages.
  package init(text: String, file: String) throws(SensitivityError) {
    let lines = text.split(whereSeparator: \.isNewline).map { line in
      line.split(separator: ",", omittingEmptySubsequences: false).map { $0.trimmingCharacters(in: .whitespaces) }
    }
    guard let header = lines.first, lines.count > 1 else {
      throw .malformed(file: file, reason: "holds no measurements")
    }
    var reader = Reader()
    if header.map({ $0.lowercased() }) == ["tensor", "type", "kld"] {
      for (index, cells) in lines.enumerated().dropFirst() {
        guard cells.count == 3 else {
          throw .malformed(file: file, reason: "line \(index + 1) has \(cells.count) cells; tensor,type,kld are 3")
        }
        reader.add(cells[2], tensor: cells[0], type: cells[1], line: index + 1)
      }
    } else if header.count > 1, header[0].uppercased() == "QTYPE" {
      for (index, cells) in lines.enumerated().dropFirst() {
        guard cells.count == header.count else {
          throw .malformed(
            file: file, reason: "line \(index + 1) has \(cells.count) cells, and the header names \(header.count)")
        }
        for (tensor, cell) in zip(header, cells).dropFirst() {
          reader.add(cell, tensor: tensor, type: cells[0], line: index + 1)
        }
      }
    } else {
      throw .malformed(file: file, reason: "begins neither with tensor,type,kld nor with QTYPE and names of tensors")
    }
    guard !reader.values.isEmpty || reader.unusable.count > 0 else {
      let types = reader.unknownTypes.sorted().joined(separator: ", ")
      throw .malformed(
        file: file,
        reason: "holds no measurements" + (types.isEmpty ? "" : " in a type that is like one here: \(types)"))
    }
    values = reader.values
    (replaced, unknownTypes) = (reader.replaced, reader.unknownTypes.sorted())
    (unusable, failures) = (reader.unusable, reader.failures)
  }

  public static func == (one: PublishedTable, other: PublishedTable) -> Bool { one.values == other.values }

  private struct Reader {
    var values: [Value] = []
    var replaced: [String: GGMLType] = [:]
    var unknownTypes: Set<String> = []
    var unusable: (count: Int, first: String?) = (0, nil)
    var failures = 0

    mutating func add(_ cell: String, tensor: String, type name: String, line: Int) {
      guard let type = ForeignType.nearest(to: name) else {
        unknownTypes.insert(name)
        return
      }
      if GGMLType(name: name) == nil { replaced[name] = type }
      guard !cell.isEmpty, cell != "404" else {
        failures += 1
        return
      }
      let isPercent = cell.hasSuffix("%")
      let number = Double(isPercent ? String(cell.dropLast()) : cell).map { isPercent ? $0 / 100 : $0 }
      // A uniform prediction over e^100 tokens has this divergence at most: larger ones are mistakes.
      guard let number, number >= 0, number < 100 else {
        unusable = (unusable.count + 1, unusable.first ?? "line \(line): tensor \(tensor): \(cell)")
        return
      }
      // A zero is a divergence below the file's digits.
      if number > 0 { values.append(Value(tensor: tensor, type: type, divergence: number)) } else { failures += 1 }
    }
  }
}

/// Types of ik_llama.cpp, by their bits per weight.
enum ForeignType {
  private static let bits: [String: Double] = [
    "IQ1_KT": 1.75, "IQ2_KT": 2.125, "IQ3_KT": 3.125, "IQ4_KT": 4, "IQ2_K": 2.375, "IQ2_KS": 2.1875, "IQ2_KL": 2.6875,
    "IQ3_K": 3.4375, "IQ3_KS": 3.1875, "IQ4_K": 4.5, "IQ4_KS": 4.25, "IQ4_KSS": 4, "IQ5_K": 5.5, "IQ5_KS": 5.25,
    "IQ6_K": 6.625, "Q6_0": 6.5, "Q8_KV": 8,
  ]

  /// The type itself, without the suffix of interleaved rows (`_R4`), or the type that is nearest in bits; nil for types
  /// whose errors are not comparable, such as those for ternary models.
  static func nearest(to name: String) -> GGMLType? {
    let plain = name.uppercased().replacing(/_R(4|8|16)$/, with: "")
    if let type = GGMLType(name: plain) { return type.canEncode && type.isQuantized ? type : nil }
    return bits[plain].flatMap { wanted in
      LowBitError.types.min {
        (abs($0.bitsPerWeight - wanted), $0.rawValue) < (abs($1.bitsPerWeight - wanted), $1.rawValue)
      }
    }
  }
}

//! The message of all methods. Google's Empty and StringValue, which the Go peer uses for
//! some, are the same bytes: no field, and one of the same number and wire type.

pub use protobuf::well_known_types::BytesValue;

//! HTTP in, gRPC out.

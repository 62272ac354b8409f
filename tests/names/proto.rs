//! The messages, fields, enum values and rpcs of the gRPC contracts.

use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto,
};

/// The names of the contracts, with field numbers and types.
pub(crate) fn names() -> impl Iterator<Item = String> {
    let set = FileDescriptorSet::decode(minitwit_proto::DESCRIPTORS).unwrap();
    let mut names = Vec::new();
    for file in set.file {
        let package = file.package();
        if !package.starts_with("minitwit.") {
            continue;
        }
        for message in &file.message_type {
            add_message(message, package, &mut names);
        }
        for enumeration in &file.enum_type {
            add_enum(enumeration, package, &mut names);
        }
        for service in &file.service {
            for method in &service.method {
                names.push(rpc(method, &format!("{package}.{}", service.name())));
            }
        }
    }
    names.into_iter()
}

fn add_message(message: &DescriptorProto, scope: &str, names: &mut Vec<String>) {
    let path = format!("{scope}.{}", message.name());
    names.push(format!("message {path}"));
    for field in &message.field {
        let FieldDescriptorProto { number, .. } = field;
        names.push(format!(
            "field {path}.{} {} {}{}",
            field.name(),
            number.unwrap_or_default(),
            field.label().as_str_name().trim_start_matches("LABEL_"),
            type_name(field),
        ));
    }
    for nested in &message.nested_type {
        add_message(nested, &path, names);
    }
    for enumeration in &message.enum_type {
        add_enum(enumeration, &path, names);
    }
}

fn type_name(field: &FieldDescriptorProto) -> String {
    match field.type_name() {
        "" => format!(" {}", field.r#type().as_str_name()),
        name => format!(" {name}"),
    }
}

fn add_enum(enumeration: &EnumDescriptorProto, scope: &str, names: &mut Vec<String>) {
    for value in &enumeration.value {
        names.push(format!(
            "value {scope}.{}.{} {}",
            enumeration.name(),
            value.name(),
            value.number()
        ));
    }
}

fn rpc(method: &MethodDescriptorProto, service: &str) -> String {
    format!(
        "rpc {service}/{} {} {}",
        method.name(),
        method.input_type(),
        method.output_type()
    )
}

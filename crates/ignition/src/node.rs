//! How the model is read, written and merged: one trait for objects, one for what a field can hold, and the
//! macro that derives both from the field table.

use crate::decode::Decoder;
use crate::encode::Encoder;
use crate::json::{Kind, Value};
use crate::version::Version;
use report::{Span, Spanned};

/// What a field holds, for schemas.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// A string.
    String,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A list of strings.
    Strings,
    /// An object with these fields.
    Object(fn() -> &'static [FieldInfo]),
    /// A list of such objects.
    Objects(fn() -> &'static [FieldInfo]),
}

/// One row of the field table.
#[derive(Debug, Clone, Copy)]
pub struct FieldInfo {
    /// Its JSON key.
    pub key: &'static str,
    /// The first version that knows it.
    pub since: Version,
    /// Required by the reference's types (always written).
    pub always: bool,
    /// What it holds.
    pub shape: Shape,
    /// Its documentation.
    pub about: &'static str,
}

/// How a field is written and merged.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flags {
    pub always: bool,
    pub append: bool,
    pub nonzero: bool,
}

/// An object of the model.
pub trait Node: Default + Clone + PartialEq + std::fmt::Debug + 'static {
    /// Its fields in the order of serialisation.
    fn fields() -> &'static [FieldInfo];
    /// Reads one key; false if there is none of this name.
    #[doc(hidden)]
    fn decode_field(&mut self, index: usize, value: &Value, decoder: &mut Decoder<'_>);
    #[doc(hidden)]
    fn encode_fields(&self, encoder: &mut Encoder<'_>);
    /// Lays `child` over `self`: what the child sets wins, lists are merged by key.
    #[must_use]
    fn merge(self, child: Self) -> Self;
    /// What identifies it in a list.
    fn key(&self) -> String;
    /// Where its object stands.
    fn span(&self) -> Span;
    #[doc(hidden)]
    fn set_span(&mut self, span: Span);
    /// Whether no field is set.
    fn is_empty(&self) -> bool;
}

/// What a field of the model can hold.
#[doc(hidden)]
pub trait Field: Default + Clone {
    const SHAPE: Shape;
    fn decode(&mut self, value: &Value, decoder: &mut Decoder<'_>);
    fn encode(&self, key: &'static str, always: bool, nonzero: bool, encoder: &mut Encoder<'_>);
    fn merge(self, child: Self, append: bool) -> Self;
    fn is_empty(&self) -> bool;
}

macro_rules! scalar {
    ($type:ty, $shape:ident, $read:ident, $write:ident, $zero:expr, $by:expr) => {
        impl Field for Option<Spanned<$type>> {
            const SHAPE: Shape = Shape::$shape;
            fn decode(&mut self, value: &Value, decoder: &mut Decoder<'_>) {
                decoder.$read(value, self);
            }
            fn encode(&self, key: &'static str, always: bool, nonzero: bool, encoder: &mut Encoder<'_>) {
                match self {
                    Some(v) if nonzero && v.value == $zero => {}
                    Some(v) => encoder.$write(key, $by(&v.value), v.span),
                    None if always && !encoder.visits() => encoder.$write(key, $zero, Span::NONE),
                    None => {}
                }
            }
            fn merge(self, child: Self, _append: bool) -> Self {
                child.or(self)
            }
            fn is_empty(&self) -> bool {
                self.is_none()
            }
        }
    };
}
scalar!(String, String, string, write_string, "", String::as_str);
scalar!(i64, Integer, integer, write_integer, 0, i64::clone);
scalar!(bool, Boolean, boolean, write_bool, false, bool::clone);

impl Field for Vec<Spanned<String>> {
    const SHAPE: Shape = Shape::Strings;
    fn decode(&mut self, value: &Value, decoder: &mut Decoder<'_>) {
        decoder.strings(value, self);
    }
    fn encode(&self, key: &'static str, _always: bool, _nonzero: bool, encoder: &mut Encoder<'_>) {
        if !self.is_empty() {
            encoder.write_strings(key, self);
        }
    }
    fn merge(self, child: Self, append: bool) -> Self {
        merge_list(self, child, append, |s| s.value.clone(), |_, child| Some(child))
    }
    fn is_empty(&self) -> bool {
        Vec::is_empty(self)
    }
}

impl<T: Node> Field for T {
    const SHAPE: Shape = Shape::Object(T::fields);
    fn decode(&mut self, value: &Value, decoder: &mut Decoder<'_>) {
        decoder.object(value, self);
    }
    fn encode(&self, key: &'static str, always: bool, _nonzero: bool, encoder: &mut Encoder<'_>) {
        if always || encoder.keeps_empty() || !Node::is_empty(self) {
            encoder.write_object(key, self);
        }
    }
    fn merge(self, child: Self, _append: bool) -> Self {
        Node::merge(self, child)
    }
    fn is_empty(&self) -> bool {
        Node::is_empty(self)
    }
}

impl<T: Node> Field for Option<T> {
    const SHAPE: Shape = Shape::Object(T::fields);
    fn decode(&mut self, value: &Value, decoder: &mut Decoder<'_>) {
        match value.kind {
            Kind::Null => *self = None,
            Kind::Bool(_) | Kind::Number(_) | Kind::String(_) | Kind::Array(_) | Kind::Object(_) => {
                decoder.object(value, self.get_or_insert_default());
            }
        }
    }
    fn encode(&self, key: &'static str, _always: bool, _nonzero: bool, encoder: &mut Encoder<'_>) {
        if let Some(node) = self {
            encoder.write_object(key, node);
        }
    }
    fn merge(self, child: Self, _append: bool) -> Self {
        child.or(self)
    }
    fn is_empty(&self) -> bool {
        self.is_none()
    }
}

impl<T: Node> Field for Vec<T> {
    const SHAPE: Shape = Shape::Objects(T::fields);
    fn decode(&mut self, value: &Value, decoder: &mut Decoder<'_>) {
        decoder.objects(value, self);
    }
    fn encode(&self, key: &'static str, _always: bool, _nonzero: bool, encoder: &mut Encoder<'_>) {
        if !self.is_empty() {
            encoder.write_objects(key, self);
        }
    }
    fn merge(self, child: Self, append: bool) -> Self {
        merge_list(self, child, append, Node::key, |p: T, c| Some(Node::merge(p, c)))
    }
    fn is_empty(&self) -> bool {
        Vec::is_empty(self)
    }
}

/// Parents in their order, each laid under the child of the same key, then the children that are new.
pub(crate) fn merge_list<T>(
    parent: Vec<T>,
    child: Vec<T>,
    append: bool,
    key: impl Fn(&T) -> String,
    lay: impl Fn(T, T) -> Option<T>,
) -> Vec<T> {
    let mut out = Vec::with_capacity(parent.len() + child.len());
    if append {
        out.extend(parent);
        out.extend(child);
        return out;
    }
    let mut index = std::collections::HashMap::new();
    let mut children: Vec<Option<T>> = child.into_iter().map(Some).collect();
    for (i, item) in children.iter().enumerate() {
        index.insert(item.as_ref().map(&key).unwrap_or_default(), i);
    }
    for item in parent {
        match index.get(&key(&item)).and_then(|i| children.get_mut(*i)).and_then(Option::take) {
            Some(over) => out.extend(lay(item, over)),
            None => out.push(item),
        }
    }
    out.extend(children.into_iter().flatten());
    out
}

macro_rules! model {
    ($( $(#[$meta:meta])* pub struct $name:ident $(by $key:ident)? {
        $( #[doc = $doc:literal] $field:ident : $type:ty = $json:literal, $since:ident, [$($flag:ident)*]; )*
    } )*) => { $(
        $(#[$meta])*
        #[derive(Debug, Clone, Default)]
        pub struct $name {
            $( #[doc = $doc] pub $field: $type, )*
            /// Where the object stands.
            pub span: report::Span,
        }

        $( impl $crate::merge::Hooks for $name {
            fn list_key(&self) -> String {
                $crate::model::text(&self.$key).to_owned()
            }
        } )?

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                $( self.$field == other.$field )&&*
            }
        }

        impl $crate::node::Node for $name {
            fn fields() -> &'static [$crate::node::FieldInfo] {
                const FIELDS: &[$crate::node::FieldInfo] = &[$( $crate::node::FieldInfo {
                    key: $json,
                    since: $crate::Version::$since,
                    always: $crate::node::flags!($($flag)*).always,
                    shape: <$type as $crate::node::Field>::SHAPE,
                    about: $doc,
                } ),*];
                FIELDS
            }
            #[allow(unused_assignments)]
            fn decode_field(
                &mut self, index: usize, value: &$crate::json::Value, decoder: &mut $crate::decode::Decoder<'_>,
            ) {
                let mut i = 0;
                $(
                    if index == i { return $crate::node::Field::decode(&mut self.$field, value, decoder); }
                    i += 1;
                )*
            }
            fn encode_fields(&self, encoder: &mut $crate::encode::Encoder<'_>) {
                $( {
                    let flags = $crate::node::flags!($($flag)*);
                    let known = encoder.knows($crate::Version::$since);
                    if known || !$crate::node::Field::is_empty(&self.$field) {
                        $crate::node::Field::encode(&self.$field, $json, flags.always, flags.nonzero, encoder);
                    }
                } )*
            }
            fn merge(self, child: Self) -> Self {
                let mut parent = self;
                let mut child = child;
                <Self as $crate::merge::Hooks>::before_merge(&mut parent, &mut child);
                Self {
                    $( $field: $crate::node::Field::merge(
                        parent.$field, child.$field, $crate::node::flags!($($flag)*).append,
                    ), )*
                    span: if child.span.is_none() { parent.span } else { child.span },
                }
            }
            fn key(&self) -> String {
                <Self as $crate::merge::Hooks>::list_key(self)
            }
            fn span(&self) -> report::Span {
                self.span
            }
            fn set_span(&mut self, span: report::Span) {
                self.span = span;
            }
            fn is_empty(&self) -> bool {
                $( $crate::node::Field::is_empty(&self.$field) )&&*
            }
        }
    )* };
}

macro_rules! flags {
    ($($flag:ident)*) => {{
        #[allow(unused_mut, clippy::needless_update)]
        const FLAGS: $crate::node::Flags = $crate::node::Flags {
            $( $flag: true, )*
            ..$crate::node::Flags::NONE
        };
        FLAGS
    }};
}

impl Flags {
    pub(crate) const NONE: Flags = Flags { always: false, append: false, nonzero: false };
}

pub(crate) use flags;
pub(crate) use model;

// SPDX-License-Identifier: Apache-2.0
// Reads Keycloak's own RealmRepresentation: prints its JSON schema, and parses a realm file with it, strictly. Exists because Keycloak ships
// no schema of its import format. Run by make-schema.sh; must never be needed by a test run.

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JavaType;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.introspect.BeanPropertyDefinition;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.File;
import java.util.TreeMap;
import org.keycloak.representations.idm.RealmRepresentation;

public class Schema {
    static final ObjectMapper MAPPER = new ObjectMapper().enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES);
    static final TreeMap<String, ObjectNode> DEFINITIONS = new TreeMap<>();

    static ObjectNode of(String type) {
        return MAPPER.createObjectNode().put("type", type);
    }

    static ObjectNode schemaOf(JavaType type) {
        Class<?> raw = type.getRawClass();
        if (raw == Object.class || com.fasterxml.jackson.core.TreeNode.class.isAssignableFrom(raw)) return MAPPER.createObjectNode();
        if (raw == String.class || raw == char[].class) return of("string");
        if (raw == Boolean.class || raw == boolean.class) return of("boolean");
        if (Number.class.isAssignableFrom(raw) || (raw.isPrimitive() && raw != char.class)) return of("integer");
        if (raw.isEnum()) {
            ObjectNode node = of("string");
            for (Object value : raw.getEnumConstants()) node.withArray("enum").add(MAPPER.convertValue(value, String.class));
            return node;
        }
        if (type.isMapLikeType()) return of("object").set("additionalProperties", schemaOf(type.getContentType()));
        if (type.isCollectionLikeType() || type.isArrayType()) return of("array").set("items", schemaOf(type.getContentType()));
        String name = raw.getSimpleName();
        if (!DEFINITIONS.containsKey(name)) define(name, type);
        return MAPPER.createObjectNode().put("$ref", "#/definitions/" + name);
    }

    static void define(String name, JavaType type) {
        ObjectNode node = of("object").put("additionalProperties", false);
        DEFINITIONS.put(name, node);
        TreeMap<String, ObjectNode> properties = new TreeMap<>();
        for (BeanPropertyDefinition property : MAPPER.getDeserializationConfig().introspect(type).findProperties()) {
            JavaType is = property.getPrimaryType(); // Jackson fills a list or map that has only a getter, too
            if (property.couldDeserialize() || (property.hasGetter() && (is.isCollectionLikeType() || is.isMapLikeType()))) properties.put(property.getName(), schemaOf(is));
        }
        properties.forEach(node.withObject("/properties")::set);
    }

    public static void main(String[] args) throws Exception {
        MAPPER.readValue(new File(args[0]), RealmRepresentation.class);
        ObjectNode schema = MAPPER.createObjectNode().put("$comment", args[1]);
        schema.setAll(schemaOf(MAPPER.constructType(RealmRepresentation.class)));
        ObjectNode definitions = schema.withObject("/definitions");
        DEFINITIONS.forEach(definitions::set);
        System.out.println(MAPPER.writerWithDefaultPrettyPrinter().writeValueAsString(schema));
    }
}

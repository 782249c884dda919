CREATE TABLE public.car_burden (
    vehicle_ref character varying NOT NULL,
    season character varying NOT NULL,
    kwh double precision NOT NULL
);
CREATE TABLE public.car_export (
    vehicle_ref character varying NOT NULL,
    year integer NOT NULL,
    year_wh double precision NOT NULL,
    event_id character varying NOT NULL,
    event_wh double precision NOT NULL,
    counter_wh double precision
);
CREATE TABLE public.car_history (
    seq bigint NOT NULL,
    vehicle_ref character varying NOT NULL,
    at character varying NOT NULL,
    what character varying NOT NULL,
    directive_id character varying,
    state character varying,
    certainty integer,
    document character varying NOT NULL
);
CREATE SEQUENCE public.car_history_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.car_history_seq_seq OWNED BY public.car_history.seq;
CREATE TABLE public.car_wear (
    vehicle_ref character varying NOT NULL,
    flipped_at character varying,
    stops integer NOT NULL
);
CREATE TABLE public.departure_habit (
    vehicle_ref character varying NOT NULL,
    document character varying NOT NULL
);
CREATE TABLE public.directive (
    directive_id character varying NOT NULL,
    vehicle_ref character varying NOT NULL,
    event_id character varying,
    state character varying NOT NULL,
    certainty integer NOT NULL,
    final boolean NOT NULL,
    confirmed boolean NOT NULL,
    ends_at character varying NOT NULL,
    document character varying NOT NULL
);
CREATE TABLE public.driver_choice (
    vehicle_ref character varying NOT NULL,
    choice character varying NOT NULL,
    at character varying NOT NULL,
    until character varying
);
CREATE TABLE public.enrolment (
    vehicle_ref character varying NOT NULL,
    zone character varying NOT NULL,
    document character varying NOT NULL,
    at character varying NOT NULL
);
CREATE TABLE public.event_limits (
    event_id character varying NOT NULL,
    document character varying NOT NULL,
    at character varying NOT NULL
);
CREATE TABLE public.event_read (
    version character varying NOT NULL,
    read_at character varying NOT NULL
);
CREATE TABLE public.first_program (
    payload_type character varying NOT NULL,
    program_id character varying NOT NULL,
    at character varying NOT NULL
);
CREATE TABLE public.pace (
    vehicle_ref character varying NOT NULL,
    document character varying NOT NULL
);
CREATE TABLE public.report_sent (
    key character varying NOT NULL,
    event_id character varying NOT NULL,
    report_id character varying NOT NULL,
    at character varying NOT NULL
);
CREATE TABLE public.understood_limit (
    zone character varying NOT NULL,
    program_id character varying NOT NULL,
    dimension character varying NOT NULL,
    kw double precision NOT NULL,
    at character varying NOT NULL
);
CREATE TABLE public.zone_energy (
    zone character varying NOT NULL,
    bucket bigint NOT NULL,
    document character varying NOT NULL
);
CREATE TABLE public.zone_history (
    seq bigint NOT NULL,
    zone character varying NOT NULL,
    at character varying NOT NULL,
    document character varying NOT NULL
);
CREATE SEQUENCE public.zone_history_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.zone_history_seq_seq OWNED BY public.zone_history.seq;
ALTER TABLE ONLY public.car_history ALTER COLUMN seq SET DEFAULT nextval('public.car_history_seq_seq'::regclass);
ALTER TABLE ONLY public.zone_history ALTER COLUMN seq SET DEFAULT nextval('public.zone_history_seq_seq'::regclass);
INSERT INTO public.car_burden (vehicle_ref, season, kwh) VALUES ('bmw-0001', 'season of car_burden', 10.5);
INSERT INTO public.car_export (vehicle_ref, year, year_wh, event_id, event_wh, counter_wh) VALUES ('bmw-0001', 7, 10.5, 'e-1', 10.5, 10.5);
INSERT INTO public.car_export (vehicle_ref, year, year_wh, event_id, event_wh, counter_wh) VALUES ('bmw-0002', 7, 10.5, 'e-1', 10.5, NULL);
INSERT INTO public.car_history (seq, vehicle_ref, at, what, directive_id, state, certainty, document) VALUES (1, 'bmw-0001', '2026-11-30T11:00:00+00:00', 'what of car_history', 'directive_id of car_history', 'state of car_history', 7, '{"name":"café"}');
INSERT INTO public.car_wear (vehicle_ref, flipped_at, stops) VALUES ('bmw-0001', 'flipped_at of car_wear', 7);
INSERT INTO public.departure_habit (vehicle_ref, document) VALUES ('bmw-0001', '{"name":"café"}');
INSERT INTO public.directive (directive_id, vehicle_ref, event_id, state, certainty, final, confirmed, ends_at, document) VALUES ('directive_id of directive', 'bmw-0001', 'e-1', 'state of directive', 7, false, true, 'ends_at of directive', '{"name":"café"}');
INSERT INTO public.driver_choice (vehicle_ref, choice, at, until) VALUES ('bmw-0001', 'choice of driver_choice', '2026-11-30T11:00:00+00:00', '2026-12-01T11:00:00+00:00');
INSERT INTO public.enrolment (vehicle_ref, zone, document, at) VALUES ('bmw-0001', 'bay', '{"name":"café"}', '2026-11-30T11:00:00+00:00');
INSERT INTO public.event_limits (event_id, document, at) VALUES ('e-1', '{"name":"café"}', '2026-11-30T11:00:00+00:00');
INSERT INTO public.event_read (version, read_at) VALUES ('version of event_read', 'read_at of event_read');
INSERT INTO public.first_program (payload_type, program_id, at) VALUES ('payload_type of first_program', 'program_id of first_program', '2026-11-30T11:00:00+00:00');
INSERT INTO public.pace (vehicle_ref, document) VALUES ('bmw-0001', '{"name":"café"}');
INSERT INTO public.report_sent (key, event_id, report_id, at) VALUES ('key of report_sent', 'e-1', 'report_id of report_sent', '2026-11-30T11:00:00+00:00');
INSERT INTO public.understood_limit (zone, program_id, dimension, kw, at) VALUES ('bay', 'program_id of understood_limit', 'dimension of understood_limit', 10.5, '2026-11-30T11:00:00+00:00');
INSERT INTO public.zone_energy (zone, bucket, document) VALUES ('bay', 7, '{"name":"café"}');
INSERT INTO public.zone_history (seq, zone, at, document) VALUES (1, 'bay', '2026-11-30T11:00:00+00:00', '{"name":"café"}');
SELECT pg_catalog.setval('public.car_history_seq_seq', 1, true);
SELECT pg_catalog.setval('public.zone_history_seq_seq', 1, true);
ALTER TABLE ONLY public.car_burden
    ADD CONSTRAINT car_burden_pkey PRIMARY KEY (vehicle_ref);
ALTER TABLE ONLY public.car_export
    ADD CONSTRAINT car_export_pkey PRIMARY KEY (vehicle_ref);
ALTER TABLE ONLY public.car_history
    ADD CONSTRAINT car_history_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.car_wear
    ADD CONSTRAINT car_wear_pkey PRIMARY KEY (vehicle_ref);
ALTER TABLE ONLY public.departure_habit
    ADD CONSTRAINT departure_habit_pkey PRIMARY KEY (vehicle_ref);
ALTER TABLE ONLY public.directive
    ADD CONSTRAINT directive_pkey PRIMARY KEY (directive_id);
ALTER TABLE ONLY public.driver_choice
    ADD CONSTRAINT driver_choice_pkey PRIMARY KEY (vehicle_ref, choice);
ALTER TABLE ONLY public.enrolment
    ADD CONSTRAINT enrolment_pkey PRIMARY KEY (vehicle_ref);
ALTER TABLE ONLY public.event_limits
    ADD CONSTRAINT event_limits_pkey PRIMARY KEY (event_id);
ALTER TABLE ONLY public.event_read
    ADD CONSTRAINT event_read_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.first_program
    ADD CONSTRAINT first_program_pkey PRIMARY KEY (payload_type);
ALTER TABLE ONLY public.pace
    ADD CONSTRAINT pace_pkey PRIMARY KEY (vehicle_ref);
ALTER TABLE ONLY public.report_sent
    ADD CONSTRAINT report_sent_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.understood_limit
    ADD CONSTRAINT understood_limit_pkey PRIMARY KEY (zone, program_id, dimension);
ALTER TABLE ONLY public.zone_energy
    ADD CONSTRAINT zone_energy_pkey PRIMARY KEY (zone, bucket);
ALTER TABLE ONLY public.zone_history
    ADD CONSTRAINT zone_history_pkey PRIMARY KEY (seq);
CREATE INDEX ix_car_history_vehicle_ref ON public.car_history USING btree (vehicle_ref);
CREATE INDEX ix_directive_ends_at ON public.directive USING btree (ends_at);
CREATE INDEX ix_directive_event_id ON public.directive USING btree (event_id);
CREATE INDEX ix_directive_final ON public.directive USING btree (final);
CREATE INDEX ix_directive_vehicle_ref ON public.directive USING btree (vehicle_ref);
CREATE INDEX ix_zone_history_zone ON public.zone_history USING btree (zone);
